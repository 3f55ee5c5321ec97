use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::{BodyError, Fault, PolledFrame};
use headwater_runtime::InstanceThread;
use http_body::{Body, Frame};

use crate::output::Output;

/// How often a module yields before its output is sent: 20 milliseconds of computing, at the
/// engine's four ticks. This is longer than a short answer takes, and too short to be noticed.
const PATIENCE: u32 = 4;

pub(crate) type Run = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// A running module and its output. It runs while it is polled; dropping it ends it.
pub(crate) struct Running {
    /// `None` when it has ended.
    run: Option<Run>,
    output: Output,
    thread: InstanceThread,
    yielded: Yielded,
    yields: u32,
}

/// Set if a module yielded because its time slice was over, not because it waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Yielded(Arc<AtomicBool>);

/// The progress of a module when there is something to send.
#[derive(Debug)]
pub(crate) enum Reached {
    End,
    /// The module has printed the blank line, and there is a reason to send its output.
    Answer,
}

impl Yielded {
    pub(crate) fn note(&self) {
        // Read after the poll.
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Running {
    pub(crate) fn new(run: Run, output: Output, thread: InstanceThread, yielded: Yielded) -> Self {
        Self {
            run: Some(run),
            output,
            thread,
            yielded,
            yields: 0,
        }
    }

    pub(crate) async fn run_to_end(&mut self) -> Result<(), Fault> {
        std::future::poll_fn(|cx| self.poll_run(cx)).await
    }

    /// Runs the module until there is something to send: until it has ended, or has printed its
    /// headers and then waits, prints much, or computes for long.
    pub(crate) async fn run_to_answer(&mut self) -> Result<Reached, Fault> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_run(cx) {
                return Poll::Ready(ended.map(|()| Reached::End));
            }
            let yielded = self.yielded.take();
            self.yields += u32::from(yielded);
            let computes = yielded || self.thread.is_apart();
            let is_due = !computes || self.yields >= PATIENCE || self.output.is_full();
            match is_due && self.output.has_head() {
                true => Poll::Ready(Ok(Reached::Answer)),
                false => Poll::Pending,
            }
        })
        .await
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(run) = &mut self.run else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(run.as_mut().poll(cx));
        // Dropping the run drops the instance.
        self.run = None;
        Poll::Ready(ended)
    }
}

/// The response body, which the module prints while it is sent.
impl Body for Running {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let printed = self.output.take();
        if !printed.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(printed))));
        }
        if self.run.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_run(cx) {
            // The last output is lost, just as all output is in a response that is not streamed.
            // The client notices because the body is cut off.
            Poll::Ready(Err(fault)) => Poll::Ready(Some(Err(told(&fault)))),
            Poll::Ready(Ok(())) | Poll::Pending => {
                let printed = self.output.take();
                match (printed.is_empty(), self.run.is_none()) {
                    (false, _) => Poll::Ready(Some(Ok(Frame::data(printed)))),
                    (true, true) => Poll::Ready(None),
                    (true, false) => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Only a poll can tell whether there is more.
        false
    }
}

/// Describes a fault for the log: the server only knows that the body broke off.
fn told(fault: &Fault) -> BodyError {
    match fault.cause() {
        Some(cause) => format!("{}: {cause}", fault.summary()).into(),
        None => fault.summary().to_owned().into(),
    }
}
