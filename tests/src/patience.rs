//! Limits waiting times, so that a hang becomes an error.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};

/// A time that only a hang reaches, even on a busy machine and with unoptimised code.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for `future`, for at most [`PATIENCE`].
///
/// # Errors
///
/// Returns an error if it takes longer; the error names `what`.
pub async fn within<F: Future>(what: &str, future: F) -> Result<F::Output> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("gave up after {} s: {what}", PATIENCE.as_secs()))
}

/// Measures memory that is bounded, up to three times, until it is as small as it is alone.
///
/// Where processors are short, a host that streams adds threads, each of which keeps a MiB or so of free
/// memory: for a second it may have a hundred. What is buffered without a bound fails each time.
///
/// # Errors
///
/// Returns the last error.
pub async fn in_one_of_three(measure: impl AsyncFn() -> Result<()>) -> Result<()> {
    for _ in 0..2 {
        if measure().await.is_ok() {
            return Ok(());
        }
    }
    measure().await
}

/// Waits for `future`, which a configured time makes complete long before the default, `than`.
/// Waits at most half of `than`.
///
/// # Errors
///
/// Returns an error if it takes longer; the error names `what`.
pub async fn sooner<F: Future>(than: Duration, what: &str, future: F) -> Result<F::Output> {
    let waited = tokio::time::timeout(than / 2, future).await;
    waited.with_context(|| {
        format!(
            "not long before the default of {} s: {what}",
            than.as_secs()
        )
    })
}
