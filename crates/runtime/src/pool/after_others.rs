//! A future that lets the tasks that are ready go first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls the work of an instance after the tasks that are ready on its thread.
///
/// Tokio runs a task that another one wakes right after that one. An instance would be polled for each
/// request that a connection gives it, and a poll of its event loop costs much, whatever it does. The
/// other connections that have received a request run first in this way, and one poll serves all of them.
/// A task that wakes itself goes to the end of the queue.
pub(super) struct AfterOthers<F> {
    work: F,
    /// True if the others have had their turn.
    waited: bool,
}

impl<F: Future + Unpin> AfterOthers<F> {
    pub(super) fn new(work: F) -> Self {
        Self {
            work,
            waited: false,
        }
    }
}

impl<F: Future + Unpin> Future for AfterOthers<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.work).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Builder;
    use tokio::sync::mpsc;

    use super::*;

    const REQUESTS: usize = 10;

    /// Returns how often an instance is polled that gets requests from tasks which are ready at once.
    fn polls<F: Future + Send + Unpin + 'static>(
        wrap: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
    ) -> usize {
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let (sender, mut requests) = mpsc::channel(REQUESTS);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let instance = poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            loop {
                match requests.poll_recv(cx) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let instance = wrap(Box::pin(instance));
        let connections = async move {
            let instance = tokio::spawn(instance);
            tokio::task::yield_now().await;
            for _ in 0..REQUESTS {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(()).await });
            }
            drop(sender);
            instance.await.unwrap();
        };
        let runtime = runtime.unwrap();
        runtime.block_on(async { tokio::spawn(connections).await.unwrap() });
        polls.load(Ordering::Relaxed)
    }

    #[test]
    fn an_instance_is_polled_once_for_the_requests_of_all_connections() {
        assert!(polls(AfterOthers::new) <= 3);
        assert!(
            polls(std::convert::identity) > REQUESTS / 2,
            "tokio's order has changed"
        );
    }
}
