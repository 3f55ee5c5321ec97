//! The times of a connection: how long it may be idle, how long a head may take, how it ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::Instant;

use crate::pulse::{Pulse, Version};

/// The times that a connection is held to.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) keep_alive: Duration,
    pub(crate) header_read: Duration,
    pub(crate) send: Duration,
    pub(crate) idle_grace: Duration,
}

/// A connection's clock.
struct Clock<'a> {
    times: &'a Times,
    pulse: &'a Pulse,
    /// When the head that has begun has to be there, and how many requests there were before it.
    head: Option<(Instant, u64)>,
    /// When a connection without requests is to end, after the drain has begun.
    grace: Option<Instant>,
    /// It was told to end.
    ending: bool,
}

/// What the time has come for.
enum Due {
    /// The connection shall finish what it has, and end.
    End,
    /// The head took too long.
    Expire,
    /// The client had its time to see the end.
    Drop,
    /// Nothing yet, until then.
    Later(Instant),
}

/// Serves a connection to its end. On a drain it finishes the requests that it has, and those that are
/// on their way.
pub(crate) async fn keep<C: GracefulConnection>(
    connection: C,
    pulse: &Arc<Pulse>,
    times: &Times,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    pulse.rest();
    let mut clock = Clock {
        times,
        pulse,
        head: None,
        grace: None,
        ending: false,
    };
    let mut timer = pin!(tokio::time::sleep_until(after(
        pulse.idle_since(),
        times.keep_alive
    )));
    poll_fn(|cx| {
        // First, so that no drain is missed.
        pulse.register(cx.waker());
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if clock.is_to_end_now() {
                end(connection.as_mut(), &mut clock);
                timer.as_mut().reset(after(Instant::now(), times.send));
                continue;
            }
            // Requests that come and go in time leave the timer alone.
            if let Some(earlier) = clock.watch()
                && earlier < timer.deadline()
            {
                timer.as_mut().reset(earlier);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match clock.due(now) {
                Due::End => {
                    end(connection.as_mut(), &mut clock);
                    timer.as_mut().reset(after(now, times.send));
                }
                Due::Expire => {
                    pulse.expire();
                    clock.ending = true;
                    timer.as_mut().reset(after(now, times.send));
                }
                Due::Drop => return Poll::Ready(Ok(())),
                Due::Later(then) => timer.as_mut().reset(then),
            }
        }
    })
    .await
}

fn end<C: GracefulConnection>(connection: Pin<&mut C>, clock: &mut Clock<'_>) {
    connection.graceful_shutdown();
    clock.ending = true;
}

/// A time beyond what the clock can tell is as good as never.
fn after(start: Instant, time: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    start + time.min(NEVER)
}

// === impl Clock ===

impl Clock<'_> {
    /// Whether a drain has begun that this connection need not be held back from: what it has in flight
    /// is finished, and HTTP/2 tells the client which requests were taken.
    fn is_to_end_now(&self) -> bool {
        !self.ending
            && self.pulse.is_draining()
            && (self.pulse.is_busy() || self.pulse.version() == Version::Http2)
    }

    /// Sees what has changed; gives the time that the timer must not miss.
    fn watch(&mut self) -> Option<Instant> {
        if self.ending {
            return None;
        }
        if self.pulse.is_draining() && self.grace.is_none() {
            self.grace = Some(after(Instant::now(), self.times.idle_grace));
        }
        let before = self.pulse.requests();
        if self.pulse.is_busy() || !self.pulse.is_expecting() {
            self.head = None;
        } else if self.head.is_none_or(|(_, at)| at != before) {
            self.head = Some((after(Instant::now(), self.times.header_read), before));
        }
        let head = self.head.map(|(until, _)| until);
        head.into_iter().chain(self.grace).min()
    }

    fn due(&self, now: Instant) -> Due {
        if self.ending {
            return match self.pulse.is_busy() || self.pulse.take_sent() {
                true => Due::Later(after(now, self.times.send)),
                false => Due::Drop,
            };
        }
        if let Some((until, _)) = self.head
            && until <= now
        {
            return Due::Expire;
        }
        if self.pulse.is_busy() {
            return Due::Later(after(now, self.times.keep_alive));
        }
        let idle = after(self.pulse.idle_since(), self.times.keep_alive);
        let head = self.head.map(|(until, _)| until);
        // A connection that has begun a request is not idle.
        let idle = match head {
            Some(_) => None,
            None => Some(idle),
        };
        let next = idle.into_iter().chain(self.grace).min();
        match next {
            // hyper would wait for the rest of a head that has begun.
            Some(until) if until <= now => match self.pulse.is_expecting() {
                true => Due::Expire,
                false => Due::End,
            },
            _ => Due::Later(
                next.into_iter()
                    .chain(head)
                    .min()
                    .unwrap_or_else(|| after(now, self.times.keep_alive)),
            ),
        }
    }
}
