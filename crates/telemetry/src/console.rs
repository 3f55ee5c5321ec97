//! The output of a command on standard output and standard error.
//!
//! Unlike `println!`, none of it waits for the reader or panics when the reader has gone: the threads that
//! write the logs write it, in order with them.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::output::{Output, OutputWriter, Standard};

/// Prints this text, which ends with a line feed, on standard output.
pub fn print(text: &str) {
    tell(Standard::Output, text, std::io::stdout());
}

/// Prints this text, which ends with a line feed, on standard error.
pub fn print_error(text: &str) {
    tell(Standard::Error, text, std::io::stderr());
}

/// Waits up to this time until all output and logs are written on both streams. Returns true if they are.
pub fn flush(within: Duration) -> bool {
    let until = Instant::now() + within;
    let streams = [Standard::Output, Standard::Error];
    let late = streams.map(|stream| !stream.flush(until.saturating_duration_since(Instant::now())));
    !late.contains(&true)
}

fn tell(stream: Standard, text: &str, mut directly: impl Write) {
    match OutputWriter::standard(Output::Console, stream) {
        Ok(writer) => writer.push(text.as_bytes()),
        // If no thread can be started, it is better to wait than to print nothing. Write errors are ignored:
        // nobody reads the stream.
        Err(_) => drop(directly.write_all(text.as_bytes())),
    }
}
