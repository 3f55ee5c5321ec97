//! Bounds on waiting, so that a hang becomes a message.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};

/// So long that only a hang reaches it, on a busy machine and with unoptimised code too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for `future`, at most for [`PATIENCE`].
///
/// # Errors
///
/// If it takes longer; the error names `what` was awaited.
pub async fn within<F: Future>(what: &str, future: F) -> Result<F::Output> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("gave up after {} s: {what}", PATIENCE.as_secs()))
}

/// Waits for `future`, which a time that was set makes come long before its default, `than`, would: half
/// of that is waited.
///
/// # Errors
///
/// If it takes longer; the error names `what` was awaited.
pub async fn sooner<F: Future>(than: Duration, what: &str, future: F) -> Result<F::Output> {
    let waited = tokio::time::timeout(than / 2, future).await;
    waited.with_context(|| {
        format!(
            "not long before the default of {} s: {what}",
            than.as_secs()
        )
    })
}
