//! Limits waiting times, so that a hang becomes an error.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};

/// A time that only a hang reaches, even on a busy machine and with unoptimised code: compiling the largest guest takes
/// half a minute on a slow processor, and other tests run beside it.
pub const PATIENCE: Duration = Duration::from_secs(300);

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
