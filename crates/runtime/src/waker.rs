use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Wakes a task, and records wake-ups since its work was last polled. Everything in the work uses this
/// one waker, whichever thread polls it.
#[derive(Debug, Default)]
pub(crate) struct RecordingWaker {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl RecordingWaker {
    pub(crate) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Clears the wake-up: the poll that follows handles it.
    pub(crate) fn reset(&self) {
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// Returns true if there was a wake-up since the last reset.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }
}

impl Wake for RecordingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // An earlier wake-up already makes the task poll.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::{Context, Poll};

    use super::*;

    #[tokio::test]
    async fn a_task_is_woken_once_for_all_that_comes_before_it_is_polled() {
        let work = Arc::new(RecordingWaker::default());
        let waker = Waker::from(Arc::clone(&work));
        let mut polls = 0;
        poll_fn(|cx: &mut Context<'_>| {
            work.register(cx.waker());
            assert_eq!(work.is_woken(), polls > 0);
            work.reset();
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            for _ in 0..3 {
                waker.wake_by_ref();
                assert!(work.is_woken());
            }
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn what_comes_from_another_thread_is_never_missed() {
        let work = Arc::new(RecordingWaker::default());
        let waker = Waker::from(Arc::clone(&work));
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let last = 10_000;
        let other = std::thread::spawn({
            let sent = Arc::clone(&sent);
            move || {
                for _ in 0..last {
                    sent.fetch_add(1, Ordering::Release);
                    waker.wake_by_ref();
                }
            }
        });
        // Ends only if the last one wakes it.
        futures::executor::block_on(poll_fn(|cx| {
            work.register(cx.waker());
            work.reset();
            match sent.load(Ordering::Acquire) == last {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        other.join().unwrap();
    }
}
