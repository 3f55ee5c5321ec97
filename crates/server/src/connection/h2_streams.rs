//! The streams of HTTP/2, each with its own patience.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::stall_timer::StallTimer;

thread_local! {
    /// What became of the body that was polled last on this thread. A stream's future polls its
    /// response's body itself, so that this tells of that one, right after.
    static LAST: Cell<Last> = const { Cell::new(Last::NotPolled) };
}

#[derive(Debug, Clone, Copy)]
enum Last {
    NotPolled,
    /// It had nothing to give yet: the service is waited for.
    Waits,
    /// It gave something: when it is not polled again, the client is waited for.
    Gave,
}

/// Runs the futures that hyper makes of streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) send_timeout: Duration,
}

pin_project! {
    /// Ends when the client takes nothing for too long. h2 then resets the stream.
    struct Patient<F> {
        #[pin]
        stream: F,
        stands: bool,
        stall_timer: StallTimer,
    }
}

/// Notes, of a body that was polled, whether it gave something.
pub(crate) fn note(gave: bool) {
    LAST.set(if gave { Last::Gave } else { Last::Waits });
}

// === impl Streams ===

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Patient {
            stream,
            stands: false,
            stall_timer: StallTimer::new(self.send_timeout),
        });
    }
}

// === impl Patient ===

impl<F: Future<Output = ()>> Future for Patient<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        LAST.set(Last::NotPolled);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match LAST.get() {
            Last::NotPolled => {}
            Last::Waits => *this.stands = false,
            Last::Gave => {
                *this.stands = true;
                this.stall_timer.restore();
            }
        }
        if !*this.stands {
            return Poll::Pending;
        }
        ready!(this.stall_timer.poll(cx));
        tracing::debug!(target: "headwater::server", "a client took nothing for too long; its stream is reset");
        Poll::Ready(())
    }
}
