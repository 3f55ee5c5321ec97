//! Panics, in the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};
use std::thread;
use std::time::Duration;

use headwater_telemetry::console;

/// How long the end of the process is held up for the log of what ends it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Has panics told in the log. The standard library's own hook writes to standard error and waits for
/// whoever reads it, while it holds up what panicked.
pub(crate) fn log() {
    set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let (thread, backtrace) = (thread::current(), Backtrace::capture());
    // As the variable RUST_BACKTRACE asks for it.
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let place = panic.location().map(ToString::to_string);
    tracing::error!(
        target: "headwater::panic",
        thread = thread.name(),
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "panicked at {}: {}",
        place.as_deref().unwrap_or("an unknown place"),
        panic.payload_as_str().unwrap_or("something that is no text")
    );
    if thread.name() == Some("main") {
        console::flush(LAST_WORDS);
    }
}
