use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_core::{Attribution, Counters, RequestId, RequestScope, Verdict};
use tokio::runtime::Handle;

use super::allowance::{Allowance, Rate};
use super::lines::Lines;
use super::service::{Dropped, Label, RECORD, ServiceOutput, Stream};

/// What one request may log: a thousand short lines, or a panic with a long backtrace, at once; and a
/// hundred lines a second from then on, which is more than anybody reads of a request that lasts.
const REQUEST_RATE: Rate = Rate {
    burst: 128 << 10,
    per_second: 16 << 10,
};

/// How many lines without an end a request may have at once, one in each of its streams; beyond that
/// the oldest is ended. So they are never more than 128 KiB.
const MOST_OPEN: usize = 16;

/// How long a line without an end is kept when its request is over and nothing is added to it. Work
/// after the response may still be printing it.
const LINGER: Duration = Duration::from_secs(1);

/// How often is looked for such lines, while there are any.
const SWEEP: Duration = Duration::from_millis(250);

/// What a piece was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A stream that all of an instance share (0.2, WAGI): its pieces belong together if they are of
    /// one request.
    Shared,
    /// A stream of its own (0.3), by a number that [`InstanceOutput::open`] gave.
    Own(u64),
}

/// What one instance prints. Cheap to clone; when the last clone is dropped, lines without an end are
/// logged.
#[derive(Debug, Clone)]
pub(crate) struct InstanceOutput(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: ServiceOutput,
    /// The instance's number in its pool; none if it is not in one.
    number: Option<u64>,
    book: Mutex<Book>,
}

/// The accounts of the requests that have printed something.
#[derive(Debug, Default)]
struct Book {
    /// Under `None`, that of all that is of no known request.
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
    /// The stream that was written to last.
    stream: Stream,
    /// When.
    at: Instant,
    /// Lines that may go on.
    lines: Vec<(Stream, Origin, Lines)>,
}

impl InstanceOutput {
    /// The output of a new instance, with its number in its pool.
    pub(crate) fn new(service: ServiceOutput, number: Option<u64>) -> Self {
        Self(Arc::new(Shared {
            service,
            number,
            book: Mutex::default(),
        }))
    }

    /// A number for a stream of its own.
    pub(crate) fn open(&self) -> Origin {
        let mut book = self.0.lock();
        book.opened += 1;
        Origin::Own(book.opened)
    }

    /// Takes a piece that was written for the request that it is attributed to.
    pub(crate) fn write(
        &self,
        attribution: &Attribution,
        stream: Stream,
        origin: Origin,
        bytes: &[u8],
    ) {
        let now = Instant::now();
        let mut book = self.0.lock();
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

    /// A stream of its own has ended.
    pub(crate) fn close(&self, attribution: &Attribution, stream: Stream, origin: Origin) {
        let now = Instant::now();
        let mut book = self.0.lock();
        let id = attribution.scope().map(|scope| scope.id());
        if let Some(account) = book.accounts.get_mut(&id) {
            account.stream = stream;
            account.finish(&self.0, now, |of| *of == origin);
        }
    }

    /// Starts what ends lines that nobody does. It ends when there are none, or the instance is gone.
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
    fn lock(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it is held but a subscriber that does; lines are whole all the same.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the lines that rest, forgets what is as good as new, and says whether something is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut book = self.lock();
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
    /// Also the last words of a guest that traps.
    fn drop(&mut self) {
        let now = Instant::now();
        let accounts = std::mem::take(&mut self.lock().accounts);
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
            // The next piece may be anybody's.
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

    /// Ends lines that have no end.
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

    /// Says how much was left out, if anything was since it was said last.
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

    /// Whether nobody waits for the request any more. What is of no known request is never waited for.
    fn is_over(&self) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.is_over())
    }

    /// Whether it differs from an account that is yet to be opened.
    fn matters(&mut self, now: Instant) -> bool {
        !self.lines.is_empty() || !self.dropped.is_none() || !self.allowance.is_full(now)
    }
}

#[cfg(test)]
mod tests;
