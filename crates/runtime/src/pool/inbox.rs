use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Instant;

use parking_lot::Mutex;

use crate::pool::queued_request::QueuedRequest;
use crate::pool::scheduler::Retirement;

/// The requests that the pool gives an instance, and the order to finish.
///
/// It can be emptied from outside of the instance's event loop, which a guest that computes blocks. In
/// the other direction it tells the pool if the instance has work.
#[derive(Default)]
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
    at_work: AtomicBool,
    /// True if there are requests. Set before the instance is woken, so that it can check without the
    /// lock.
    filled: AtomicBool,
}

#[derive(Default)]
struct Contents {
    tickets: VecDeque<QueuedRequest>,
    retired: Option<(Retirement, Instant)>,
    /// True if the instance waits for a request to leave it.
    watches_leaving: bool,
    waker: Option<Waker>,
}

impl Inbox {
    pub(crate) fn push(&self, request: QueuedRequest) {
        self.change(|contents| {
            contents.tickets.push_back(request);
            self.filled.store(true, Ordering::Release);
        });
    }

    /// Tells the instance to finish its work. The first reason counts, unless a later one is a missed
    /// deadline, which is more urgent.
    pub(crate) fn retire(&self, why: Retirement) {
        self.change(|contents| {
            let earlier = contents.retired.map(|(why, _)| why);
            if earlier.is_none() || (why == Retirement::Deadline && earlier != Some(why)) {
                contents.retired = Some((why, Instant::now()));
            }
        });
    }

    pub(crate) fn pop(&self) -> Option<QueuedRequest> {
        if !self.has_tickets() {
            return None;
        }
        let mut contents = self.contents.lock();
        let request = contents.tickets.pop_front();
        self.filled
            .store(!contents.tickets.is_empty(), Ordering::Relaxed);
        request
    }

    /// Takes all remaining requests, the last first.
    pub(crate) fn take_back(&self) -> Vec<QueuedRequest> {
        let mut contents = self.contents.lock();
        self.filled.store(false, Ordering::Relaxed);
        contents.tickets.drain(..).rev().collect()
    }

    pub(crate) fn has_tickets(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Returns the reason to finish, and its time, if there is one.
    pub(crate) fn retired(&self) -> Option<(Retirement, Instant)> {
        self.contents.lock().retired
    }

    /// Sets if the instance is woken when a request leaves it.
    pub(crate) fn watch_leaving(&self, watch: bool) {
        self.contents.lock().watches_leaving = watch;
    }

    /// Records that a request has left the instance: its answer is sent, or it was dropped.
    pub(crate) fn left(&self) {
        if self.contents.lock().watches_leaving {
            self.change(|_| {});
        }
    }

    /// Returns true if the instance has requests, or work after them.
    pub(crate) fn at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }

    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.contents.lock().waker = Some(waker.clone());
    }

    fn change(&self, change: impl FnOnce(&mut Contents)) {
        let waker = {
            let mut contents = self.contents.lock();
            change(&mut contents);
            contents.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
