//! The part of the driver outside of an instance's event loop, which runs even while the guest computes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::pool::driver::state::{DriverState, Phase};
use crate::pool::inbox::Inbox;
use crate::pool::scheduler::{InstanceKey, Retirement};
use crate::pool::shared::Shared;

/// The time that a guest may compute without a pause after a request missed its deadline. The other
/// requests of its instance make no progress meanwhile, so waiting gains little.
const STUCK_GRACE: Duration = Duration::from_secs(1);

/// The reason why an instance was ended from outside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Overdue {
    #[error("it went on computing beyond the deadline of a request")]
    Stuck,
    #[error("a request missed its deadline, and others did not end within the grace period")]
    Late,
    #[error("its work after the response was not done within post_return_timeout")]
    PostReturn,
    #[error(
        "it went on computing for post_return_timeout after everybody had stopped waiting for it"
    )]
    Abandoned,
}

/// Enforces the time limits from outside of the event loop.
pub(super) struct Watchdog<'a> {
    shared: &'a Arc<Shared>,
    key: InstanceKey,
    inbox: &'a Inbox,
    state: &'a DriverState,
    /// The time since which the guest computes without a pause.
    stuck: Option<Instant>,
    /// The time since which no answer is being sent, as of the last look.
    sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The time of the timer: not later than the next due time.
    alarm: Option<Instant>,
}

impl<'a> Watchdog<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        key: InstanceKey,
        inbox: &'a Inbox,
        state: &'a DriverState,
    ) -> Self {
        Self {
            shared,
            key,
            inbox,
            state,
            stuck: None,
            sent: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            alarm: None,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stuck: bool) -> Poll<wasmtime::Result<()>> {
        self.note(stuck);
        let settings = self.shared.settings();
        let (phase, since) = self.state.phase();
        let late = match self.inbox.retired() {
            Some((Retirement::Deadline, since)) => Some(since),
            _ => None,
        };
        let limit = match (late, phase, self.stuck) {
            (Some(late), _, Some(stuck)) => Some((late.max(stuck), STUCK_GRACE)),
            (Some(late), _, None) => Some((late, settings.grace)),
            // The request that it computes for may have been dropped before its deadline, with its
            // client. The inside of the event loop cannot see that.
            (None, Phase::Requests, Some(stuck)) => self
                .last_answer_sent(since.max(stuck))
                .map(|since| (since, settings.post_return_timeout)),
            (None, Phase::Requests, None) => None,
            (None, Phase::PostReturn, _) => self
                .last_answer_sent(since)
                .map(|since| (since, settings.post_return_timeout)),
            (None, Phase::Idle, _) => Some((since, settings.idle_timeout)),
        };
        let Some(due) = limit.and_then(|(since, allowed)| since.checked_add(allowed)) else {
            return Poll::Pending;
        };
        // The due time moves with nearly every request. Setting the timer each time costs more than an
        // occasional early wake-up.
        if self.alarm.is_none_or(|alarm| due < alarm) {
            self.set(due);
        }
        loop {
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if due <= Instant::now() {
                break;
            }
            self.set(due);
        }
        self.alarm = None;
        match phase {
            _ if late.is_some() && self.stuck.is_some() => Poll::Ready(Err(Overdue::Stuck.into())),
            _ if late.is_some() => Poll::Ready(Err(Overdue::Late.into())),
            Phase::Requests => Poll::Ready(Err(Overdue::Abandoned.into())),
            Phase::PostReturn => Poll::Ready(Err(Overdue::PostReturn.into())),
            Phase::Idle => {
                // If the pool keeps it, the idle time restarts.
                self.state.renew(Phase::Idle);
                let key = self.key;
                self.shared
                    .happened(|core, actions| core.idle_expired(key, actions));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn set(&mut self, due: Instant) {
        self.alarm = Some(due);
        self.timer.as_mut().reset(due.into());
    }

    /// Returns the time since which the guest only works after its answers. None while an answer is
    /// being sent: the work is then the sending.
    fn last_answer_sent(&mut self, returned: Instant) -> Option<Instant> {
        // Before the check, so that a request that leaves right after it is not missed.
        self.inbox.watch_leaving(true);
        if self.shared.in_flight(self.key) > 0 {
            self.sent = None;
            return None;
        }
        self.inbox.watch_leaving(false);
        let sent = *self.sent.get_or_insert_with(Instant::now);
        Some(sent.max(returned))
    }

    /// Holds back requests from a guest that computes, and returns those that it was given.
    fn note(&mut self, stuck: bool) {
        match (stuck, self.stuck) {
            (true, None) => {
                self.stuck = Some(Instant::now());
                // Computing says nothing about the number of requests that the guest takes at once.
                self.shared.backpressure(self.key, true, usize::MAX);
            }
            (false, Some(_)) => {
                self.stuck = None;
                let (held, running) = (self.state.hold().is_some(), self.state.running());
                self.shared.backpressure(self.key, held, running);
            }
            _ => {}
        }
        if stuck {
            self.shared.give_back(self.inbox);
        }
    }
}
