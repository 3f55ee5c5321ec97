//! The progress of an outgoing request's body, for the wait for the response.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::EgressError;

#[derive(Debug)]
pub(crate) struct Upload {
    began: Instant,
    /// Nanoseconds from the beginning until a part of the body was last handed to the connection.
    moved: AtomicU64,
    is_over: AtomicBool,
    over: Notify,
    failure: OnceLock<EgressError>,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            over: Notify::new(),
            failure: OnceLock::new(),
        }
    }

    /// Records that a part was handed to the connection.
    pub(crate) fn advance(&self) {
        let nanos = self.began.elapsed().as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.moved.store(nanos, Ordering::Relaxed);
    }

    /// Ends the upload, after its last byte or when the connection closes.
    pub(crate) fn end(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            self.over.notify_one();
        }
    }

    pub(crate) fn fail(&self, error: EgressError) {
        let _ = self.failure.set(error);
        self.end();
    }

    pub(crate) fn last_moved(&self) -> Instant {
        self.began + Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }

    pub(crate) fn failure(&self) -> Option<&EgressError> {
        self.failure.get()
    }

    /// Waits for its end. Supports one waiter at a time.
    pub(crate) async fn over(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            self.over.notified().await;
        }
    }
}
