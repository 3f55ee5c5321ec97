use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Runs `work`, but not beyond `deadline`.
///
/// The clock is read after every poll; the timer is for work that waits. While a guest spins, it
/// keeps the executor so busy that timers may fire late (tokio checks them once in 61 polls), but
/// the guest is polled once per epoch, and the clock is read then.
pub(crate) async fn until<F: Future>(
    deadline: Option<Instant>,
    work: F,
) -> Result<F::Output, Elapsed> {
    let Some(deadline) = deadline else {
        return Ok(work.await);
    };
    let mut work = pin!(work);
    let mut timer = pin!(tokio::time::sleep_until(deadline.into()));
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if Instant::now() >= deadline || timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Elapsed));
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_waits_ends_at_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(1);
        let ended = until(Some(deadline), std::future::pending::<()>()).await;
        assert_eq!(ended, Err(Elapsed));
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test]
    async fn work_that_only_yields_ends_at_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(1);
        let spin = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        let ended: Result<(), Elapsed> = until(Some(deadline), spin).await;
        assert_eq!(ended, Err(Elapsed));
    }

    #[tokio::test]
    async fn work_that_is_done_counts_even_late() {
        assert_eq!(until(Some(Instant::now()), async { 7 }).await, Ok(7));
        assert_eq!(until(None, async { 7 }).await, Ok(7));
    }
}
