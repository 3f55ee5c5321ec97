use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::computing::ComputingThreads;
use super::{InstanceThread, serving};
use crate::waker::RecordingWaker;

/// The work of one instance, from its start to its end. A poll that may take long runs on a computing
/// thread, and this future is pending meanwhile. There, the current runtime is the same as here, so that
/// the work's tasks and timers are where they were.
pub struct OnThread<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    thread: InstanceThread,
    place: Place<F>,
    /// The waker of polls on computing threads.
    waker: Arc<RecordingWaker>,
    /// True if the last poll may have taken long.
    suspect: bool,
}

enum Place<F: Future> {
    Here(Pin<Box<F>>),
    Apart(oneshot::Receiver<thread::Result<Polled<F>>>),
    Over,
}

/// The result of a poll on a computing thread.
enum Polled<F: Future> {
    Ready(F::Output),
    /// The work, and true if the poll may have taken long.
    Pending(Pin<Box<F>>, bool),
}

impl<F> OnThread<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    pub(super) fn new(thread: InstanceThread, work: F) -> Self {
        Self {
            thread,
            place: Place::Here(Box::pin(work)),
            waker: Arc::default(),
            suspect: false,
        }
    }

    fn poll_here(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Place::Here(work) = &mut self.place else {
            return Poll::Pending;
        };
        let poll = |cx: &mut Context<'_>| work.as_mut().poll(cx);
        let (polled, suspect) = self.thread.poll(self.suspect, poll, cx);
        self.suspect = suspect;
        if polled.is_ready() {
            self.place = Place::Over;
        }
        polled
    }

    /// Begins a poll on a computing thread. If this is dropped before it runs, that thread drops the work.
    fn begin_apart(&mut self, runtime: Handle, threads: &ComputingThreads) {
        let Place::Here(mut work) = std::mem::replace(&mut self.place, Place::Over) else {
            return;
        };
        self.waker.reset();
        let waker = Waker::from(self.waker.clone());
        let (thread, serving) = (self.thread.clone(), serving::current());
        let (sender, receiver) = oneshot::channel();
        self.place = Place::Apart(receiver);
        self.thread.state.apart.store(true, Ordering::Relaxed);
        threads.run(move || {
            let _runtime = runtime.enter();
            let _serving = serving::enter(serving);
            let poll = || {
                if sender.is_closed() {
                    // Also a guest that panics when it is dropped must not end this thread.
                    drop(work);
                    return None;
                }
                let mut cx = Context::from_waker(&waker);
                Some(
                    match thread.poll(true, |cx| work.as_mut().poll(cx), &mut cx) {
                        (Poll::Ready(output), _) => {
                            drop(work);
                            Polled::Ready(output)
                        }
                        (Poll::Pending, suspect) => Polled::Pending(work, suspect),
                    },
                )
            };
            if let Some(polled) = catch_unwind(AssertUnwindSafe(poll)).transpose() {
                let unsent = sender.send(polled);
                // The same for one that was dropped during the poll.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(unsent)));
            }
        });
    }

    /// Returns when the poll on the computing thread is over, and the work is over or has to be polled again.
    fn poll_apart(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.waker.register(cx.waker());
        let Place::Apart(polling) = &mut self.place else {
            return Poll::Pending;
        };
        let polled = ready!(Pin::new(polling).poll(cx));
        self.place = Place::Over;
        self.thread.state.apart.store(false, Ordering::Release);
        match polled {
            Ok(Ok(Polled::Ready(output))) => Poll::Ready(Some(output)),
            Ok(Ok(Polled::Pending(work, suspect))) => {
                self.place = Place::Here(work);
                self.suspect = suspect;
                match self.waker.is_woken() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            }
            Ok(Err(panic)) => resume_unwind(panic),
            // The thread drops the sender only if this receiver is gone.
            Err(_) => Poll::Pending,
        }
    }
}

impl<F> Future for OnThread<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        loop {
            match &this.place {
                Place::Here(_) if !this.thread.computes() => return this.poll_here(cx),
                Place::Here(_) => {
                    let host = this.thread.service.host.clone();
                    let (Ok(runtime), Some(threads)) = (Handle::try_current(), host.computing())
                    else {
                        return this.poll_here(cx);
                    };
                    this.begin_apart(runtime, threads);
                }
                Place::Apart(_) => {
                    if let Some(output) = ready!(this.poll_apart(cx)) {
                        return Poll::Ready(output);
                    }
                }
                Place::Over => return Poll::Pending,
            }
        }
    }
}

impl<F> Drop for OnThread<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Dropping the work drops the instance and resets its memory. While a computing thread polls the work,
        // it also drops it.
        if let Place::Here(work) = std::mem::replace(&mut self.place, Place::Over)
            && self.thread.is_large()
            && let Ok(runtime) = Handle::try_current()
            && let Some(threads) = self.thread.service.host.computing()
        {
            threads.run(move || {
                let _runtime = runtime.enter();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
            });
        }
    }
}
