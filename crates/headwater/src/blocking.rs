//! Waits for futures on threads that may block.

use std::future::Future;
use std::io;

/// Runs a future to its end on a thread that may block, in a runtime of its own. When a signal ends
/// the start or a reload, the process's runtime is shut down while such a thread still waits; a
/// future that then waits for a socket or a timer of that runtime would panic.
pub(crate) fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let output = runtime.block_on(future);
    // A credential helper that does not answer holds up nobody.
    runtime.shutdown_background();
    Ok(output)
}
