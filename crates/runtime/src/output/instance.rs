use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Attribution, Counters, RequestId, RequestScope, Verdict};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::allowance::{Allowance, Rate};
use super::lines::Lines;
use super::service::{Dropped, Label, RECORD, ServiceOutput, Stream};

/// The limit of one request: a thousand short lines, or a panic with a long backtrace, at once, and a
/// hundred lines a second after that, more than anybody reads of a request that lasts.
const REQUEST_RATE: Rate = Rate {
    burst: 128 << 10,
    per_second: 16 << 10,
};

/// The maximum number of unfinished lines of a request, one in each of its streams; beyond that the
/// oldest is ended. Together they take at most 128 KiB.
const MOST_OPEN: usize = 16;

/// The time for which an unfinished line is kept when its request is over and nothing is added to it.
/// Work after the response may still print the rest.
const LINGER: Duration = Duration::from_secs(1);

/// The interval between checks for such lines, while there are any.
const SWEEP: Duration = Duration::from_millis(250);

/// The origin of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A stream that the whole instance shares (0.2, WAGI). Its pieces belong together if they are of
    /// one request.
    Shared,
    /// A stream of its own (0.3), with a number from [`InstanceOutput::open`].
    Own(u64),
}

/// The output of one instance. Cheap to clone. Dropping the last clone logs unfinished lines.
#[derive(Debug, Clone)]
pub(crate) struct InstanceOutput(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: ServiceOutput,
    /// The instance's number in its pool. None outside a pool.
    number: Option<u64>,
    /// A subscriber can panic while it is held; lines are whole even then.
    book: Mutex<Book>,
}

/// The accounts of the requests that have printed something.
#[derive(Debug, Default)]
struct Book {
    /// The account under `None` is for output that is not attributed.
    accounts: HashMap<Option<RequestId>, Account>,
    opened: u64,
    sweeping: bool,
}

#[derive(Debug)]
struct Account {
    scope: Option<Arc<RequestScope>>,
    verdict: Verdict,
    allowance: Allowance,
    dropped: Dropped,
    /// The last written stream.
    stream: Stream,
    at: Instant,
    lines: Vec<(Stream, Origin, Lines)>,
}

impl InstanceOutput {
    /// Returns the output of a new instance, with its number in its pool.
    pub(crate) fn new(service: ServiceOutput, number: Option<u64>) -> Self {
        Self(Arc::new(Shared {
            service,
            number,
            book: Mutex::default(),
        }))
    }

    pub(crate) fn open(&self) -> Origin {
        let mut book = self.0.book.lock();
        book.opened += 1;
        Origin::Own(book.opened)
    }

    /// Takes a piece of the request that it is attributed to.
    pub(crate) fn write(
        &self,
        attribution: &Attribution,
        stream: Stream,
        origin: Origin,
        bytes: &[u8],
    ) {
        let now = Instant::now();
        let mut book = self.0.book.lock();
        let book = &mut *book;
        let account = book.account(attribution, now);
        account.at = now;
        account.stream = stream;
        account.verdict = attribution.verdict();
        account.write(&self.0, origin, bytes);
        if !book.sweeping {
            book.sweeping = self.sweep_later();
        }
    }

    pub(crate) fn close(&self, attribution: &Attribution, stream: Stream, origin: Origin) {
        let now = Instant::now();
        let mut book = self.0.book.lock();
        let id = attribution.scope().map(|scope| scope.id());
        if let Some(account) = book.accounts.get_mut(&id) {
            account.stream = stream;
            account.finish(&self.0, now, |of| *of == origin);
        }
    }

    /// Starts the task that ends abandoned lines. It stops when there are none, or the instance is
    /// gone.
    fn sweep_later(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let shared = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                match shared.upgrade() {
                    Some(shared) if shared.sweep(Instant::now()) => {}
                    _ => return,
                }
            }
        });
        true
    }
}

impl Shared {
    /// Ends abandoned lines and removes accounts that are like new. Returns true if any are left.
    fn sweep(&self, now: Instant) -> bool {
        let mut book = self.book.lock();
        book.accounts.retain(|_, account| {
            if account.is_over() && now.saturating_duration_since(account.at) >= LINGER {
                account.finish(self, now, |_| true);
                account.tell(self, now);
            }
            account.matters(now)
        });
        book.sweeping = !book.accounts.is_empty();
        book.sweeping
    }
}

impl Drop for Shared {
    /// Logs the rest, including the last words of a guest that traps.
    fn drop(&mut self) {
        let now = Instant::now();
        let accounts = std::mem::take(&mut self.book.lock().accounts);
        for mut account in accounts.into_values() {
            account.finish(self, now, |_| true);
            account.tell(self, now);
        }
    }
}

impl Book {
    fn account(&mut self, attribution: &Attribution, now: Instant) -> &mut Account {
        let scope = attribution.scope();
        self.accounts
            .entry(scope.map(|scope| scope.id()))
            .or_insert_with(|| Account {
                scope: scope.cloned(),
                verdict: attribution.verdict(),
                allowance: Allowance::new(REQUEST_RATE, now),
                dropped: Dropped::default(),
                stream: Stream::Stdout,
                at: now,
                lines: Vec::new(),
            })
    }
}

impl Account {
    fn write(&mut self, shared: &Shared, origin: Origin, bytes: &[u8]) {
        let (stream, now) = (self.stream, self.at);
        let same = |open: &(Stream, Origin, Lines)| (open.0, open.1) == (stream, origin);
        let at = self.lines.iter().position(same);
        let mut lines = at.map(|at| self.lines.remove(at).2).unwrap_or_default();
        lines.push(bytes, |line| self.log(shared, line, now));
        if self.scope.is_none() && origin == Origin::Shared {
            // The next piece may belong to another request.
            lines.finish(|line| self.log(shared, line, now));
        }
        if lines.is_empty() {
            return;
        }
        if self.lines.len() == MOST_OPEN {
            let (of, _, mut oldest) = self.lines.remove(0);
            self.stream = of;
            oldest.finish(|line| self.log(shared, line, now));
            self.stream = stream;
        }
        self.lines.push((stream, origin, lines));
    }

    fn finish(&mut self, shared: &Shared, now: Instant, which: impl Fn(&Origin) -> bool) {
        let (ended, kept) = std::mem::take(&mut self.lines)
            .into_iter()
            .partition(|(_, origin, _)| which(origin));
        self.lines = kept;
        let ended: Vec<_> = ended;
        for (stream, _, mut lines) in ended {
            self.stream = stream;
            lines.finish(|line| self.log(shared, line, now));
        }
    }

    fn log(&mut self, shared: &Shared, line: &[u8], now: Instant) {
        let bytes = line.len() as u64;
        if !self.allowance.take(bytes + RECORD, now) {
            self.dropped.count(bytes);
            return;
        }
        self.tell(shared, now);
        if shared.service.line(self.label(shared), line, now)
            && let Some(scope) = &self.scope
        {
            Counters::add(&scope.counters().log_lines, 1);
        }
    }

    /// Reports how much was dropped since the last report, if anything.
    fn tell(&mut self, shared: &Shared, now: Instant) {
        if let Some(dropped) = self.dropped.take() {
            shared.service.notice(self.label(shared), dropped, now);
        }
    }

    fn label<'a>(&'a self, shared: &Shared) -> Label<'a> {
        Label {
            instance: shared.number,
            scope: self.scope.as_deref(),
            verdict: self.verdict,
            stream: self.stream,
        }
    }

    /// Returns true if no client waits for the request any more. Always true for output that is not
    /// attributed.
    fn is_over(&self) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.is_over())
    }

    /// Returns true if it differs from a new account.
    fn matters(&mut self, now: Instant) -> bool {
        !self.lines.is_empty() || !self.dropped.is_none() || !self.allowance.is_full(now)
    }
}

#[cfg(test)]
mod tests;
