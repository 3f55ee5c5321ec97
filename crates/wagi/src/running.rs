use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{BodyError, Fault, RequestScope};
use http_body::{Body, Frame};

use crate::cpu::CpuMeter;
use crate::output::Output;

/// How often a module is made to yield before what it has printed is sent: 20 milliseconds of
/// computing, at the engine's four ticks. Longer than what a short answer takes, shorter than what
/// anybody notices.
const PATIENCE: u32 = 4;

/// A module's run, to its end.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// A module that runs, and what it prints. It runs while it is polled, so whoever drops it ends it.
pub(crate) struct Running {
    /// None when it has ended.
    run: Option<Run>,
    output: Output,
    meter: CpuMeter,
    scope: Arc<RequestScope>,
    yielded: Yielded,
    yields: u32,
}

/// Whether a module gave way because its turn was over, and not because it waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Yielded(Arc<AtomicBool>);

/// How far a module has come when there is something to send.
#[derive(Debug)]
pub(crate) enum Reached {
    /// Its end.
    End,
    /// The blank line, and a reason to send what there is.
    Answer,
}

impl Yielded {
    pub(crate) fn note(&self) {
        // Read by the same task, after the poll.
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Running {
    pub(crate) fn new(
        run: Run,
        output: Output,
        meter: CpuMeter,
        scope: Arc<RequestScope>,
        yielded: Yielded,
    ) -> Self {
        Self {
            run: Some(run),
            output,
            meter,
            scope,
            yielded,
            yields: 0,
        }
    }

    /// Runs the module to its end.
    pub(crate) async fn run_to_end(&mut self) -> Result<(), Fault> {
        std::future::poll_fn(|cx| self.poll_run(cx)).await
    }

    /// Runs it until there is something to send: it has ended, or has printed its headers and then
    /// waits, has much to say, or computes for long.
    pub(crate) async fn run_to_answer(&mut self) -> Result<Reached, Fault> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_run(cx) {
                return Poll::Ready(ended.map(|()| Reached::End));
            }
            let computes = self.yielded.take();
            self.yields += u32::from(computes);
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
        let (polled, exceeded) = self.meter.measure(&self.scope, || run.as_mut().poll(cx));
        let ended = match polled {
            Poll::Ready(ended) => ended,
            Poll::Pending if exceeded => Err(Fault::cpu_time()),
            Poll::Pending => return Poll::Pending,
        };
        // With it ends the instance.
        self.run = None;
        Poll::Ready(ended)
    }
}

/// The body that the module prints while it is sent.
impl Body for Running {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let printed = self.output.take();
        if !printed.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(printed))));
        }
        if self.run.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_run(cx) {
            // What it printed last is lost with it, as all of it is in a response that is not
            // streamed; the client is told by the cut.
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
        // Whether there is more is only known when it has been polled.
        false
    }
}

/// A fault in words, for the log: the front knows only that the body broke off.
fn told(fault: &Fault) -> BodyError {
    match fault.cause() {
        Some(cause) => format!("{}: {cause}", fault.summary()).into(),
        None => fault.summary().to_owned().into(),
    }
}
