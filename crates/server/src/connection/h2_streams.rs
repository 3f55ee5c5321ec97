//! Send timeouts of HTTP/2 streams.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::stall_timer::StallTimer;

thread_local! {
    /// The result of the last body poll on this thread. A stream's future polls its own response
    /// body, so right after its poll this is its own result.
    static LAST: Cell<Last> = const { Cell::new(Last::NotPolled) };
}

#[derive(Debug, Clone, Copy)]
enum Last {
    NotPolled,
    /// The body had no data yet: the stream waits for the service.
    Waits,
    /// The body gave data: if it is not polled again, the stream waits for the client.
    Gave,
}

/// Spawns the futures that hyper makes of streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) send_timeout: Duration,
}

pin_project! {
    /// A stream that ends if the client reads nothing for too long. h2 then resets it.
    struct Patient<F> {
        #[pin]
        stream: F,
        stands: bool,
        stall_timer: StallTimer,
    }
}

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
        tracing::debug!(target: "headwater::server", "a client read nothing for too long; its stream is reset");
        Poll::Ready(())
    }
}
