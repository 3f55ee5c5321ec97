//! A WAGI module of 1.8 MB, most of it data, like a program with tables, templates or fonts. It
//! answers `text/plain`, a word of its data that the query's length selects.

/// Words that no compiler can optimise away, because all are different.
static DATA: [u64; 212_500] = data();

const fn data() -> [u64; 212_500] {
    let mut words = [0; 212_500];
    let (mut at, mut state) = (0, 1_u64);
    while at < words.len() {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        words[at] = state;
        at += 1;
    }
    words
}

fn main() {
    let query = std::env::var("QUERY_STRING").unwrap_or_default();
    let at = std::hint::black_box(query.len() * 100 % DATA.len());
    print!("Content-Type: text/plain\n\n{:x}\n", DATA[at]);
}
