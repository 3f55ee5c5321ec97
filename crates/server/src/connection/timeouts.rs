//! The timeouts of a connection: idle, request head, drain.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::http_connection::{HttpConnection, Stream};
use crate::connection::state::{ConnectionState, Version};

/// The interval of the checks for an idle connection, whose codec is then put away. Long beside the cost of
/// getting the codec back (a few microseconds), and short enough that few clients that ask once and stay have
/// a codec.
const REST_AFTER: Duration = Duration::from_millis(250);

#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) keep_alive: Duration,
    /// For a TLS handshake, and for a PROXY header before it.
    pub(crate) handshake: Duration,
    pub(crate) header_read: Duration,
    pub(crate) send: Duration,
    pub(crate) idle_grace: Duration,
}

struct Clock<'a> {
    times: &'a Times,
    state: &'a ConnectionState,
    /// The deadline of the head that has begun, and the number of requests before it.
    head: Option<(Instant, u64)>,
    /// The end of a connection without requests, after the drain has begun.
    grace: Option<Instant>,
    /// True if the codec is put away.
    rests: bool,
    ending: bool,
}

enum Due {
    /// Finish the current requests, and end.
    End,
    Rest,
    /// End the connection, because its head took too long.
    Expire,
    /// Drop the connection: the client had its time to see the end.
    Drop,
    /// Nothing until then.
    Later(Instant),
}

/// Serves a connection to its end. On a drain, finishes its current requests and those on their way.
pub(crate) async fn keep<S: Stream>(
    connection: HttpConnection<S>,
    state: &Arc<ConnectionState>,
    times: &Times,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut connection = pin!(connection);
    state.rest();
    let mut clock = Clock {
        times,
        state,
        head: None,
        grace: None,
        rests: true,
        ending: false,
    };
    let mut timer = pin!(tokio::time::sleep_until(after(
        state.idle_since(),
        times.keep_alive
    )));
    poll_fn(|cx| {
        // Registered first, so that no drain is missed.
        state.register(cx.waker());
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            let due = if clock.is_to_end_now() {
                Due::End
            } else {
                // Requests within the timeout do not reset the timer.
                if let Some(earlier) = clock.watch(connection.can_rest())
                    && earlier < timer.deadline()
                {
                    timer.as_mut().reset(earlier);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                clock.due(Instant::now(), connection.can_rest())
            };
            let now = Instant::now();
            match due {
                Due::End => {
                    connection.shut_down();
                    clock.ending = true;
                    timer.as_mut().reset(after(now, times.send));
                }
                // The timer stays as it is, and fires again.
                Due::Rest => {
                    connection.rest();
                    clock.rests = !connection.can_rest();
                }
                Due::Expire => {
                    state.expire();
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

/// Adds a time; a result that the clock cannot represent is as good as never.
fn after(start: Instant, time: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    start + time.min(NEVER)
}

// === impl Clock ===

impl Clock<'_> {
    /// Returns true if a drain has begun and the connection can end at once: it finishes its requests in
    /// flight, and HTTP/2 tells the client which requests were taken.
    fn is_to_end_now(&self) -> bool {
        !self.ending
            && self.state.is_draining()
            && (self.state.is_busy() || self.state.version() == Version::Http2)
    }

    /// Records changes, and returns the time by which the timer must fire.
    fn watch(&mut self, can_rest: bool) -> Option<Instant> {
        if self.ending {
            return None;
        }
        let mut next = None;
        if self.rests && can_rest {
            self.rests = false;
            next = Some(after(Instant::now(), REST_AFTER));
        }
        if self.state.is_draining() && self.grace.is_none() {
            self.grace = Some(after(Instant::now(), self.times.idle_grace));
        }
        let before = self.state.requests();
        if self.state.is_busy() || !self.state.is_expecting() {
            self.head = None;
        } else if self.head.is_none_or(|(_, at)| at != before) {
            self.head = Some((after(Instant::now(), self.times.header_read), before));
        }
        let head = self.head.map(|(until, _)| until);
        head.into_iter().chain(self.grace).chain(next).min()
    }

    fn due(&self, now: Instant, can_rest: bool) -> Due {
        if self.ending {
            if self.state.is_busy() || self.state.take_sent() {
                return Due::Later(after(now, self.times.send));
            }
            return Due::Drop;
        }
        if let Some((until, _)) = self.head
            && until <= now
        {
            return Due::Expire;
        }
        let rest_after = REST_AFTER.min(self.times.keep_alive);
        if self.state.is_busy() {
            let keep_alive = self.times.keep_alive;
            return Due::Later(after(now, if can_rest { rest_after } else { keep_alive }));
        }
        let idle = after(self.state.idle_since(), self.times.keep_alive);
        let head = self.head.map(|(until, _)| until);
        let idle = head.is_none().then_some(idle);
        let end = idle.into_iter().chain(self.grace).min();
        if end.is_some_and(|end| end <= now) {
            return match self.state.is_expecting() {
                // hyper would wait for the rest of the head.
                true => Due::Expire,
                false => Due::End,
            };
        }
        // A periodic check found the connection idle. It may have had a request just before, but reading the
        // clock with each request costs more.
        let rest = match head {
            None if can_rest && self.state.is_stalled() => Some(after(now, rest_after)),
            None if can_rest => return Due::Rest,
            _ => None,
        };
        let next = end.into_iter().chain(head).chain(rest).min();
        Due::Later(next.unwrap_or_else(|| after(now, self.times.keep_alive)))
    }
}
