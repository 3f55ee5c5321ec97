//! Takes as much as it can get: `GET /memory`, `/handles?n=100000&kind=fields`,
//! `…/open/NAME?n=1&keep=descriptors`, `…/touch/NAME`, `…/list?n=0`.

use guest::{BodyEnd, ErrorCode, Fields, Query, Response, WHOLE_BODY, text};
use std::hint::black_box;
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode as FileError, NewTimestamp, OpenFlags, PathFlags,
};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter};
use wasip3::{wit_future, wit_stream};

/// Allocates a megabyte at a time until it is refused, which is a trap in Rust.
pub fn memory() -> Result<Response, ErrorCode> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        black_box(&all);
    }
}

/// Creates `n` handles of a `kind` (`fields`, `streams` or `futures`; the last two are pairs) and
/// keeps them until the last one exists. All handles are in the host's tables; the guest itself
/// keeps only a few bytes for each.
pub fn handles(query: &Query) -> Response {
    let n = query.number("n", 100_000);
    let made = match query.get("kind").unwrap_or("fields") {
        "fields" => keep(n, Fields::new),
        "streams" => keep(n, || -> (StreamWriter<u8>, StreamReader<u8>) {
            wit_stream::new()
        }),
        "futures" => keep(n, || -> (FutureWriter<BodyEnd>, FutureReader<BodyEnd>) {
            wit_future::new(WHOLE_BODY)
        }),
        other => return text(400, format!("there is no kind {other}\n")),
    };
    text(200, format!("{made} made\n"))
}

fn keep<T>(n: u64, make: impl Fn() -> T) -> usize {
    let mut all = Vec::new();
    for _ in 0..n {
        all.push(make());
    }
    let made = all.len();
    // Dropping so many takes long, and futures would have to be written first.
    std::mem::forget(black_box(all));
    made
}

/// Opens the file `n` times, for reading, and keeps what it opened until the last: the
/// `descriptors`, or `streams` that read from them.
pub async fn open(name: &str, query: &Query) -> Response {
    let directory = directory();
    let (mut descriptors, mut streams) = (Vec::new(), Vec::new());
    for opened in 0..query.number("n", 1) {
        let file = directory.open_at(
            PathFlags::SYMLINK_FOLLOW,
            name.to_owned(),
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        match file.await {
            Ok(file) if query.get("keep") == Some("streams") => {
                streams.push(file.read_via_stream(0));
            }
            Ok(file) => descriptors.push(file),
            Err(error) => return text(200, format!("{opened} opened, then {error:?}\n")),
        }
    }
    text(200, "all opened\n")
}

/// Sets the times of the file.
pub async fn touch(name: &str) -> Response {
    let (flags, now) = (PathFlags::SYMLINK_FOLLOW, NewTimestamp::Now);
    let set: Result<(), FileError> = directory()
        .set_times_at(flags, name.to_owned(), now, now)
        .await;
    text(200, format!("{set:?}\n"))
}

/// Returns the first granted directory.
fn directory() -> Descriptor {
    let (directory, _) = get_directories().swap_remove(0);
    directory
}

/// Begins to read the directory `n` times and keeps all of these streams; then reads it to its end
/// once more.
pub async fn list(query: &Query) -> Response {
    let directory = directory();
    let n = query.number("n", 0);
    let kept: Vec<_> = (0..n).map(|_| directory.read_directory()).collect();
    let (entries, end) = directory.read_directory();
    let entries = entries.collect().await.into_iter();
    let mut entries: Vec<_> = entries
        .map(|entry| format!("{} {:?}", entry.name, entry.type_))
        .collect();
    entries.sort();
    let end = end.await;
    drop(kept);
    text(200, format!("{}; {end:?}\n", entries.join(", ")))
}
