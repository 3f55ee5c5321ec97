//! What a command tells whoever started it, on standard output and standard error.
//!
//! Unlike `println!` none of it waits for the reader, and none panics when the reader has gone: it is
//! written by the threads that write the logs, in turn with them.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::output::{Output, OutputWriter, Standard};

/// Tells this text, which ends with a line feed, on standard output.
pub fn print(text: &str) {
    tell(Standard::Output, text, std::io::stdout());
}

/// Tells this text, which ends with a line feed, on standard error.
pub fn print_error(text: &str) {
    tell(Standard::Error, text, std::io::stderr());
}

/// Waits for so long until all is written that was told, and logged, on both streams. Says whether it
/// is.
pub fn flush(within: Duration) -> bool {
    let until = Instant::now() + within;
    let streams = [Standard::Output, Standard::Error];
    let late = streams.map(|stream| !stream.flush(until.saturating_duration_since(Instant::now())));
    !late.contains(&true)
}

fn tell(stream: Standard, text: &str, mut directly: impl Write) {
    match OutputWriter::standard(Output::Console, stream) {
        Ok(writer) => writer.push(text.into()),
        // Without a thread to be had it is better to wait than to keep silent. Whoever does not read
        // it does not want to know of errors either.
        Err(_) => drop(directly.write_all(text.as_bytes())),
    }
}
