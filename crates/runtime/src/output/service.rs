use std::sync::Arc;
use std::time::Instant;

use headwater_core::{Printable, RequestScope, Verdict};
use parking_lot::Mutex;

use super::allowance::{Allowance, Rate};

/// The target of guests' lines. The log formats them in a way of their own.
const TARGET: &str = "headwater::guest";

/// Logs a record of a guest's output, with all that is known about it.
macro_rules! record {
    ($level:ident, $output:ident, $label:ident, $($more:tt)+) => {
        tracing::$level!(
            target: TARGET,
            parent: None,
            request_id = $label.scope.map(|scope| tracing::field::display(scope.id())),
            trace_id = $label.scope.map(|scope| tracing::field::display(scope.span().trace_id())),
            service = &*$output.0.service,
            instance = $label.instance,
            stream = $label.stream.as_str(),
            headwater.attribution = $label.verdict.as_str(),
            $($more)+
        )
    };
}

/// The limit of one service: ten thousand lines of a hundred bytes at once, and four thousand a second
/// after that, which a busy service needs if it logs each request. In the worst case it is 90 GB a day.
const SERVICE_RATE: Rate = Rate {
    burst: 4 << 20,
    per_second: 1 << 20,
};

/// Bytes charged for a line beside its own: about the size of the record's other fields. Without it a
/// guest that prints lines of one byte would make a hundred times its rate.
pub(super) const RECORD: u64 = 128;

/// The output of all instances of one service. Cheap to clone; the clones share one bound.
#[derive(Debug, Clone)]
pub struct ServiceOutput(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Arc<str>,
    bound: Mutex<Bound>,
}

#[derive(Debug)]
struct Bound {
    allowance: Allowance,
    dropped: Dropped,
}

/// Output that was dropped and not reported yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Label<'a> {
    pub(super) instance: Option<u64>,
    pub(super) scope: Option<&'a RequestScope>,
    pub(super) verdict: Verdict,
    pub(super) stream: Stream,
}

impl Stream {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl ServiceOutput {
    /// Returns the output of a service that has not printed anything yet.
    #[must_use]
    pub fn new(service: Arc<str>) -> Self {
        Self::bounded(service, SERVICE_RATE)
    }

    pub(super) fn bounded(service: Arc<str>, rate: Rate) -> Self {
        Self(Arc::new(Shared {
            service,
            bound: Mutex::new(Bound {
                allowance: Allowance::new(rate, Instant::now()),
                dropped: Dropped::default(),
            }),
        }))
    }

    /// Logs a line, unless the service is over its limit. Returns true if it was logged.
    pub(super) fn line(&self, label: Label<'_>, line: &[u8], now: Instant) -> bool {
        let admitted = self.admit(line.len() as u64, now);
        if admitted {
            record!(info, self, label, "{}", Printable(line));
        }
        admitted
    }

    /// Reports that a request, or unattributed output, exceeded its limit.
    pub(super) fn notice(&self, label: Label<'_>, dropped: Dropped, now: Instant) {
        if !self.admit(0, now) {
            return;
        }
        record!(
            warn,
            self,
            label,
            dropped_lines = dropped.lines,
            dropped_bytes = dropped.bytes,
            "({} lines, {} bytes were left out: more was printed than is logged for one request)",
            dropped.lines,
            dropped.bytes,
        );
    }

    fn admit(&self, bytes: u64, now: Instant) -> bool {
        let mut bound = self.0.bound.lock();
        let Bound { allowance, dropped } = &mut *bound;
        let admitted = allowance.take(bytes.saturating_add(RECORD), now);
        if !admitted {
            if dropped.is_none() {
                tracing::warn!(
                    target: TARGET,
                    parent: None,
                    service = &*self.0.service,
                    "(the service prints more than is logged for one service: lines are left out)"
                );
            }
            dropped.count(bytes);
        } else if let Some(dropped) = dropped.take() {
            self.0.tell(dropped);
        }
        admitted
    }
}

impl Shared {
    fn tell(&self, dropped: Dropped) {
        tracing::warn!(
            target: TARGET,
            parent: None,
            service = &*self.service,
            dropped_lines = dropped.lines,
            dropped_bytes = dropped.bytes,
            "({} lines, {} bytes of the service's output were left out)",
            dropped.lines,
            dropped.bytes,
        );
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bound = self.bound.get_mut();
        if let Some(dropped) = bound.dropped.take() {
            self.tell(dropped);
        }
    }
}

impl Dropped {
    pub(super) fn count(&mut self, bytes: u64) {
        self.lines += 1;
        self.bytes += bytes;
    }

    pub(super) fn is_none(self) -> bool {
        self.lines == 0
    }

    pub(super) fn take(&mut self) -> Option<Self> {
        (!self.is_none()).then(|| std::mem::take(self))
    }
}
