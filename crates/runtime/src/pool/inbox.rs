use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::pool::queued_request::QueuedRequest;
use crate::pool::scheduler::Retirement;

/// What the pool has for an instance: requests, and the word to finish.
///
/// It can be emptied from outside of the instance's event loop, which a guest that computes holds up.
/// The other way round it says whether the instance has something to do.
#[derive(Default)]
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
    at_work: AtomicBool,
    /// There are tickets. Set before whoever is to take them is woken, so that he need not lock to see
    /// that there are none.
    filled: AtomicBool,
}

#[derive(Default)]
struct Contents {
    tickets: VecDeque<QueuedRequest>,
    retired: Option<(Retirement, Instant)>,
    /// The instance waits for a request to leave it.
    watches_leaving: bool,
    /// The instance's.
    waker: Option<Waker>,
}

impl Inbox {
    /// Hands a request over.
    pub(crate) fn push(&self, request: QueuedRequest) {
        self.change(|contents| {
            contents.tickets.push_back(request);
            self.filled.store(true, Ordering::Release);
        });
    }

    /// Says that the instance is to finish what it has. The first reason counts, unless a later one
    /// is a missed deadline, which is more urgent.
    pub(crate) fn retire(&self, why: Retirement) {
        self.change(|contents| {
            let earlier = contents.retired.map(|(why, _)| why);
            if earlier.is_none() || (why == Retirement::Deadline && earlier != Some(why)) {
                contents.retired = Some((why, Instant::now()));
            }
        });
    }

    /// The request that has waited longest.
    pub(crate) fn pop(&self) -> Option<QueuedRequest> {
        if !self.has_tickets() {
            return None;
        }
        let mut contents = self.lock();
        let request = contents.tickets.pop_front();
        self.filled
            .store(!contents.tickets.is_empty(), Ordering::Relaxed);
        request
    }

    /// All requests that have not been taken, the last first.
    pub(crate) fn take_back(&self) -> Vec<QueuedRequest> {
        let mut contents = self.lock();
        self.filled.store(false, Ordering::Relaxed);
        contents.tickets.drain(..).rev().collect()
    }

    /// Whether a request waits.
    pub(crate) fn has_tickets(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Why the instance is to finish, and since when, if it is.
    pub(crate) fn retired(&self) -> Option<(Retirement, Instant)> {
        self.lock().retired
    }

    /// Whether the instance is to be woken when a request leaves it.
    pub(crate) fn watch_leaving(&self, watch: bool) {
        self.lock().watches_leaving = watch;
    }

    /// A request has left the instance: its answer is sent, or nobody waits for it.
    pub(crate) fn left(&self) {
        if self.lock().watches_leaving {
            self.change(|_| {});
        }
    }

    /// Whether the instance has requests, or work after them.
    pub(crate) fn at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }

    /// The instance has something to do, or has nothing to do any more.
    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }

    /// Whom to wake when something arrives.
    pub(crate) fn register(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    fn change(&self, change: impl FnOnce(&mut Contents)) {
        let waker = {
            let mut contents = self.lock();
            change(&mut contents);
            contents.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contents> {
        // Nothing panics while it is held.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
