//! A WAGI module that searches its memory for marks of others (see `marking`), with a large image.

#![allow(
    clippy::disallowed_methods,
    reason = "a WAGI module has no executor to block"
)]

use std::env::var;
use std::thread::sleep;
use std::time::Duration;

fn main() {
    let [path, query] = ["PATH_INFO", "QUERY_STRING"].map(|name| var(name).unwrap_or_default());
    let target = format!("{path}?{query}");
    let (answer, milliseconds) = marking::regions!(marking::LARGE).visit(&target);
    sleep(Duration::from_millis(milliseconds));
    print!("Content-Type: text/plain\n\n{answer}");
}
