//! The running calls of an instance's guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::stream::{FuturesUnordered, StreamExt};

/// Running calls. They are polled only after one of them was woken: the event loop polls this
/// between all its work items, and most do not affect a call.
pub(super) struct Calls<F> {
    calls: FuturesUnordered<F>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// A waker for the calls that records if any was woken, and wakes the instance.
pub(super) struct Woken {
    any: AtomicBool,
    instance: Waker,
}

impl<F: Future> Calls<F> {
    pub(super) fn new(woken: Arc<Woken>) -> Self {
        Self {
            calls: FuturesUnordered::new(),
            waker: woken.clone().into(),
            woken,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn push(&mut self, call: F) {
        self.calls.push(call);
        // It was never polled.
        self.woken.any.store(true, Ordering::Relaxed);
    }

    pub(super) fn poll(&mut self) -> Option<F::Output> {
        // A waker that sets it again also wakes the task.
        while self.woken.any.swap(false, Ordering::Acquire) {
            let mut cx = Context::from_waker(&self.waker);
            match self.calls.poll_next_unpin(&mut cx) {
                Poll::Ready(Some(result)) => {
                    // More calls may be ready.
                    self.woken.any.store(true, Ordering::Relaxed);
                    return Some(result);
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        None
    }
}

impl Woken {
    /// Wakes `instance` when a call can make progress.
    pub(super) fn new(instance: Waker) -> Self {
        Self {
            any: AtomicBool::new(false),
            instance,
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.any.store(true, Ordering::Release);
        self.instance.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::channel::oneshot;
    use futures::task::noop_waker;

    use super::*;

    #[test]
    fn each_call_gives_its_result_once_and_is_polled_only_when_it_was_woken() {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut calls = Calls::new(Arc::new(Woken::new(noop_waker())));
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (end, mut ended) = oneshot::channel();
            ends.push(end);
            let polls = polls.clone();
            calls.push(std::future::poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                std::pin::Pin::new(&mut ended).poll(cx)
            }));
        }
        for _ in 0..5 {
            assert!(calls.poll().is_none());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 3, "once each");
        for (number, end) in ends.into_iter().enumerate() {
            end.send(number).unwrap();
            assert_eq!(calls.poll().unwrap().unwrap(), number);
            assert!(calls.poll().is_none());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 6);
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn the_instance_is_woken_with_the_call() {
        struct Heard(AtomicBool);
        impl Wake for Heard {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let heard = Arc::new(Heard(AtomicBool::new(false)));
        let (end, ended) = oneshot::channel::<()>();
        let mut calls = Calls::new(Arc::new(Woken::new(heard.clone().into())));
        calls.push(ended);
        assert!(calls.poll().is_none());
        end.send(()).unwrap();
        assert!(heard.0.load(Ordering::Relaxed));
        assert!(calls.poll().unwrap().is_ok());
    }
}
