//! The wait for a request's body, and how it fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use futures::task::AtomicWaker;
use headwater_core::{Fault, RequestScope};
use http::StatusCode;

/// nginx's status for a client that closed its request.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// The wait for the next bytes of a body. It may outlast the body.
#[derive(Debug)]
pub(crate) struct Wait {
    scope: Arc<RequestScope>,
    trouble: OnceLock<Trouble>,
    /// True if the handler waits, and nothing has arrived since.
    awaited: AtomicBool,
    reader: AtomicWaker,
}

/// A client's fault that kept a body from being read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    TooLarge,
    TooSlow,
    /// The answer was due while the handler waited for the body.
    Overdue,
    /// The body is malformed, for this reason.
    Malformed(Arc<str>),
    /// The client went away before its request or its answer was over: 499, which a client only sees if it
    /// closed just its own side.
    Gone,
}

// === impl Wait ===

impl Wait {
    pub(crate) fn new(scope: &Arc<RequestScope>) -> Arc<Self> {
        Arc::new(Self {
            scope: Arc::clone(scope),
            trouble: OnceLock::new(),
            awaited: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        })
    }

    pub(crate) fn scope(&self) -> &Arc<RequestScope> {
        &self.scope
    }

    pub(crate) fn poll<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.reader.register(cx.waker());
        // Set before the poll: any arrival from then on ends the wait, whenever it is read.
        self.awaited.store(true, Ordering::Relaxed);
        let arrival = Waker::from(Arc::clone(self));
        let polled = poll(&mut Context::from_waker(&arrival));
        if polled.is_ready() {
            self.end();
        }
        polled
    }

    pub(crate) fn end(&self) {
        self.awaited.store(false, Ordering::Relaxed);
    }

    /// Records that the body was dropped. At the deadline that does not end the wait: the reader is then
    /// dropped because the answer is due.
    pub(crate) fn dropped(&self) {
        let is_due = |deadline| deadline <= Instant::now();
        if self.awaited.load(Ordering::Relaxed) && !self.scope.deadline().is_some_and(is_due) {
            self.end();
        }
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.get().cloned()
    }

    /// Records the trouble; only the first one counts.
    pub(crate) fn note(&self, trouble: Trouble) {
        let _ = self.trouble.set(trouble);
    }

    /// Called when the answer is due and not there. If only the body was waited for, records that as the
    /// reason and wakes the reader, which gets an error.
    pub(crate) fn due(&self) -> Option<Trouble> {
        if !self.awaited.load(Ordering::Relaxed) {
            return self.trouble();
        }
        self.scope.set_body_late();
        self.note(Trouble::Overdue);
        self.reader.wake();
        self.trouble()
    }
}

impl Wake for Wait {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.end();
        self.reader.wake();
    }
}

// === impl Trouble ===

impl Trouble {
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::TooLarge => Fault::client(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the request's body is too large",
            ),
            Self::TooSlow | Self::Overdue => Fault::client(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the request's body did not arrive in time",
            ),
            Self::Malformed(reason) => Fault::client(
                StatusCode::BAD_REQUEST,
                "bad_body",
                "the request's body is malformed",
            )
            .caused_by(&*reason),
            Self::Gone => Fault::client(
                CLIENT_CLOSED_REQUEST,
                "client_closed",
                "the client went away",
            ),
        }
    }
}
