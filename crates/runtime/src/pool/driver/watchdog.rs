//! What happens outside of an instance's event loop, where a guest that computes holds nothing up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::pool::driver::state::{DriverState, Phase};
use crate::pool::inbox::Inbox;
use crate::pool::scheduler::{InstanceKey, Retirement};
use crate::pool::shared::Shared;

/// How long a guest may go on computing without a pause after a request missed its deadline. Those that
/// share its instance cannot get on meanwhile, so there is little to wait for.
const STUCK_GRACE: Duration = Duration::from_secs(1);

/// Why an instance was ended from outside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Overdue {
    #[error("it went on computing beyond the deadline of a request")]
    Stuck,
    #[error("a request missed its deadline, and others were not done in their time")]
    Late,
    #[error("its work after the response was not done within post_return_timeout")]
    PostReturn,
    #[error("it went on computing for post_return_timeout when nobody waited for it any more")]
    Abandoned,
}

/// What happens outside of the event loop: time.
pub(super) struct Watchdog<'a> {
    shared: &'a Arc<Shared>,
    key: InstanceKey,
    inbox: &'a Inbox,
    state: &'a DriverState,
    /// Since when the guest computes without a pause.
    stuck: Option<Instant>,
    /// Since when no answer is being sent, as far as was looked.
    sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to: not later than what is due.
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
            // What it computes for may have been dropped before its deadline, with its client. Inside of
            // the event loop that cannot be seen.
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
        // What is due moves on with nearly every request; setting the timer anew each time costs more
        // than a look when it rings too early.
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
                // If the pool keeps it, the idle time begins anew.
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

    /// Since when all that the guest does is work after its answers: none while an answer is being
    /// sent, for then the work is to send it.
    fn last_answer_sent(&mut self, returned: Instant) -> Option<Instant> {
        // Before the look, so that who leaves right after it is not missed.
        self.inbox.watch_leaving(true);
        if self.shared.in_flight(self.key) > 0 {
            self.sent = None;
            return None;
        }
        self.inbox.watch_leaving(false);
        let sent = *self.sent.get_or_insert_with(Instant::now);
        Some(sent.max(returned))
    }

    /// A guest that computes takes no further request; those that it was given go elsewhere.
    fn note(&mut self, stuck: bool) {
        match (stuck, self.stuck) {
            (true, None) => {
                self.stuck = Some(Instant::now());
                // Computing says nothing of how many requests the guest takes at once.
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
