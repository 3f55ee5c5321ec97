//! A WAGI module of 1.8 MB, most of it data, as a program with tables, templates or fonts has them. It
//! answers `text/plain`, a byte of its data that the query's length selects.

#![allow(long_running_const_eval, reason = "that is what makes it large")]

/// Bytes that no compiler can leave out: each is another.
static DATA: [u8; 1_700_000] = data();

const fn data() -> [u8; 1_700_000] {
    let mut bytes = [0; 1_700_000];
    let (mut at, mut state) = (0, 1_u32);
    while at < bytes.len() {
        // A linear congruential generator (Numerical Recipes).
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
}

fn main() {
    let query = std::env::var("QUERY_STRING").unwrap_or_default();
    let at = std::hint::black_box(query.len() * 1_000 % DATA.len());
    print!("Content-Type: text/plain\n\n{}\n", DATA[at]);
}
