//! Holds back a guest's output until the current poll of its instance is over.
//!
//! A guest may end its response and trap in the same poll. wasmtime reports the trap when the poll
//! returns; by then a faster thread would have told the client that the response is complete. So
//! answers and ends of bodies are passed on only after their poll has returned without a trap.
//!
//! Answers wait in the gate and are sent by the task that polls the instance, which costs no wake-up. A
//! body already has its reader, which waits here only if it polls in the middle of a poll.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use http::Response;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::pool::written::{Answer, Written};

/// No poll is running.
const OPEN: u8 = 0;
/// A poll is running.
const CLOSED: u8 = 1;
/// A poll is running, and an answer or a task waits for its end.
const AWAITED: u8 = 2;

/// A gate that is closed while an instance is polled. Only the instance's task opens and closes it.
#[derive(Default)]
pub(crate) struct PollGate {
    state: AtomicU8,
    openings: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// The waiters for the gate. The instance's task keeps an empty one, to reuse its buffers.
#[derive(Default)]
pub(crate) struct Waiting {
    answers: Vec<(oneshot::Sender<Answer>, Given)>,
    wakers: Vec<Waker>,
}

/// An answer, as the guest gives it.
pub(crate) type Given = wasmtime::Result<Response<WasiBody>>;

impl PollGate {
    /// Closes the gate at the beginning of a poll. If it is closed already, it stays so.
    pub(crate) fn close(&self) {
        // Only this task changes it while it is open. Every observer of the guest's actions in the poll
        // sees this first.
        if self.state.load(Ordering::Relaxed) == OPEN {
            self.state.store(CLOSED, Ordering::Relaxed);
        }
    }

    /// Opens the gate after a poll without a trap, and sends the answers given in it.
    pub(crate) fn open(&self, room: &mut Waiting) {
        let openings = self.openings.load(Ordering::Relaxed);
        self.openings.store(openings + 1, Ordering::Relaxed);
        if self.state.swap(OPEN, Ordering::AcqRel) != AWAITED {
            return;
        }
        std::mem::swap(&mut *self.waiting.lock(), room);
        for (sender, given) in room.answers.drain(..) {
            // The receiver may be gone by now; nothing is lost.
            let _ = sender.send(given.map(|response| response.map(Written::new)));
        }
        room.wakers.drain(..).for_each(Waker::wake);
    }

    /// Opens the gate after the instance's end, which its record describes. Answers of a failed poll
    /// are dropped.
    pub(crate) fn open_for_good(&self) {
        self.state.store(OPEN, Ordering::Release);
        let Waiting { answers, wakers } = std::mem::take(&mut *self.waiting.lock());
        drop(answers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends an answer after the current poll.
    pub(crate) fn answer(&self, sender: oneshot::Sender<Answer>, given: Given) {
        let mut waiting = self.waiting.lock();
        waiting.answers.push((sender, given));
        // The instance's task calls this, and has closed the gate.
        self.state.store(AWAITED, Ordering::Relaxed);
    }

    /// Waits until no poll is running. Then either the instance has failed, or output seen before can
    /// no longer be revoked by a trap in the same poll.
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.load(Ordering::Acquire) == OPEN {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        let closed =
            self.state
                .compare_exchange(CLOSED, AWAITED, Ordering::Acquire, Ordering::Acquire);
        if closed == Err(OPEN) {
            return Poll::Ready(());
        }
        // The opener sees that it is awaited, and takes the lock after this.
        waiting.wakers.push(cx.waker().clone());
        Poll::Pending
    }

    /// Returns true if anything waits for the gate to open.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state.load(Ordering::Relaxed) == AWAITED
    }

    pub(crate) fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
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
        // The reader sees the end of each poll's work, and must then find that poll's outcome.
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
