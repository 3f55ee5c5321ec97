//! What a guest gives in a poll of its instance, held back until the poll is over.
//!
//! A guest may end its response and trap in one go. wasmtime reports the trap when the poll of the
//! instance returns, and a thread that is quicker would have told the client by then that the response
//! is complete. So neither an answer nor the end of a body is passed on before the poll in which the
//! guest gave it has returned without a trap.
//!
//! Answers wait in the gate and are sent by whoever polls the instance, which costs no wake-up. A body
//! has its reader already, who waits here only if he asks in the middle of a poll.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::Response;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::pool::written::{Answer, Written};

/// No poll is under way.
const OPEN: u8 = 0;
/// A poll is under way.
const CLOSED: u8 = 1;
/// Likewise, and there is somebody or something to let pass when it is over.
const AWAITED: u8 = 2;

/// Closed while an instance is polled. Only the instance's task opens and closes it.
#[derive(Default)]
pub(crate) struct PollGate {
    state: AtomicU8,
    /// How often it was opened.
    openings: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// What waits for the gate to open. The instance's task keeps an empty one, for its room.
#[derive(Default)]
pub(crate) struct Waiting {
    answers: Vec<(oneshot::Sender<Answer>, Given)>,
    wakers: Vec<Waker>,
}

/// What a guest answers, as it gives it.
pub(crate) type Given = wasmtime::Result<Response<WasiBody>>;

impl PollGate {
    /// A poll begins. If the gate is closed, it stays so.
    pub(crate) fn close(&self) {
        // Nobody else changes it while it is open. What the guest does in the poll comes after this for
        // everybody who sees it.
        if self.state.load(Ordering::Relaxed) == OPEN {
            self.state.store(CLOSED, Ordering::Relaxed);
        }
    }

    /// The poll is over, without a trap: sends the answers that were given in it.
    pub(crate) fn open(&self, room: &mut Waiting) {
        let openings = self.openings.load(Ordering::Relaxed);
        self.openings.store(openings + 1, Ordering::Relaxed);
        if self.state.swap(OPEN, Ordering::AcqRel) != AWAITED {
            return;
        }
        std::mem::swap(&mut *self.lock(), room);
        for (sender, given) in room.answers.drain(..) {
            // The receiver may have gone at this moment: nobody waits, and nothing is lost.
            let _ = sender.send(given.map(|response| response.map(Written::new)));
        }
        room.wakers.drain(..).for_each(Waker::wake);
    }

    /// The instance is gone, and its record says how it ended. Answers that were given in a poll which
    /// failed are dropped.
    pub(crate) fn open_for_good(&self) {
        self.state.store(OPEN, Ordering::Release);
        let Waiting { answers, wakers } = std::mem::take(&mut *self.lock());
        drop(answers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has an answer sent when the poll that it is given in is over.
    pub(crate) fn answer(&self, sender: oneshot::Sender<Answer>, given: Given) {
        let mut waiting = self.lock();
        waiting.answers.push((sender, given));
        // From the instance's task, which has closed it.
        self.state.store(AWAITED, Ordering::Relaxed);
    }

    /// Waits until no poll is under way. Then the instance has failed, or what was seen before is not
    /// taken back by a trap in the same poll.
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.load(Ordering::Acquire) == OPEN {
            return Poll::Ready(());
        }
        let mut waiting = self.lock();
        let closed =
            self.state
                .compare_exchange(CLOSED, AWAITED, Ordering::Acquire, Ordering::Acquire);
        if closed == Err(OPEN) {
            return Poll::Ready(());
        }
        // Whoever opens it sees that it is awaited, and takes the lock after this.
        waiting.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    /// Whether somebody or something waits for it to open.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state.load(Ordering::Relaxed) == AWAITED
    }

    /// Changes with each opening.
    pub(crate) fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use futures::FutureExt;

    use super::*;

    fn is_open(gate: &PollGate) -> bool {
        poll_fn(|cx| gate.poll_open(cx)).now_or_never().is_some()
    }

    fn response() -> Given {
        Ok(Response::new(crate::pool::response::empty()))
    }

    #[test]
    fn what_is_given_in_a_poll_is_sent_when_it_is_over() {
        let (gate, mut room) = (PollGate::default(), Waiting::default());
        for _ in 0..3 {
            assert!(is_open(&gate));
            gate.close();
            assert!(!is_open(&gate));
            let (sender, mut receiver) = oneshot::channel();
            gate.answer(sender, response());
            receiver.try_recv().unwrap_err();
            // A guest that computes is polled again.
            gate.close();
            receiver.try_recv().unwrap_err();
            gate.open(&mut room);
            assert!(receiver.try_recv().unwrap().is_ok());
        }
    }

    #[test]
    fn an_answer_that_was_given_in_a_poll_which_failed_is_never_sent() {
        let gate = PollGate::default();
        gate.close();
        let (sender, mut receiver) = oneshot::channel();
        gate.answer(sender, response());
        gate.open_for_good();
        assert_eq!(
            receiver.try_recv().map(|_| ()),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert!(is_open(&gate));
    }

    #[test]
    fn whoever_waits_is_woken_and_what_ended_before_the_opening_is_seen() {
        // The reader sees the end of each poll's work, and must then find the verdict on that poll.
        let gate = Arc::new(PollGate::default());
        let (ended, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let (ended, failed) = (&ended, &failed);
        std::thread::scope(|scope| {
            scope.spawn({
                let gate = Arc::clone(&gate);
                move || {
                    let mut room = Waiting::default();
                    for _ in 0..10_000 {
                        gate.close();
                        gate.open(&mut room);
                    }
                    gate.close();
                    ended.store(true, Ordering::Release);
                    failed.store(true, Ordering::Relaxed);
                    gate.open_for_good();
                }
            });
            futures::executor::block_on(async {
                while !ended.load(Ordering::Acquire) {
                    poll_fn(|cx| gate.poll_open(cx)).await;
                }
                poll_fn(|cx| gate.poll_open(cx)).await;
                assert!(failed.load(Ordering::Relaxed));
            });
        });
    }
}
