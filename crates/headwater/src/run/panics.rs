use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};
use std::thread;
use std::time::Duration;

use headwater_telemetry::console;

/// The time that the end of the process waits for the log of its cause.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Installs a hook that logs panics. The hook of the standard library writes to standard error and
/// blocks the thread until the text is read.
pub(crate) fn log() {
    set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let (thread, backtrace) = (thread::current(), Backtrace::capture());
    // RUST_BACKTRACE turns backtraces on.
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let place = panic.location().map(ToString::to_string);
    tracing::error!(
        target: "headwater::panic",
        thread = thread.name(),
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "panicked at {}: {}",
        place.as_deref().unwrap_or("an unknown place"),
        panic.payload_as_str().unwrap_or("a payload that is not text")
    );
    if thread.name() == Some("main") {
        console::flush(LAST_WORDS);
    }
}
