//! The access log: one line for each request, once it is over.
//!
//! A line is made where its request ends and put into a buffer, and a thread of its own writes what
//! is in the buffer. So a request costs the making of its line and a copy, and waits neither for a
//! disk nor for whoever reads the other end of a pipe: when the buffer is full the line is lost,
//! counted, and told of in the log.

mod combined;
mod config;
mod escape;
mod file;
mod json;
mod moment;
mod queue;
mod record;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

pub use self::config::{AccessConfig, AccessFormat, AccessOutput, Rotation};
use self::file::RotatingFile;
use self::moment::Clock;
pub use self::queue::AccessCounts;
use self::queue::Queue;
use self::record::Record;
pub use self::record::{AccessEntry, AccessStart};
use crate::TelemetryError;

/// What requests are noted with. Cheap to clone; the default notes nothing and costs nothing.
///
/// When the last clone is dropped, what is in the buffer is still written, by a thread that nobody
/// waits for: [`Telemetry::shutdown`](crate::Telemetry::shutdown) does wait.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Desk>>);

/// What makes lines of records, and passes them on.
struct Desk {
    format: AccessFormat,
    sample: Sample,
    queue: Arc<Queue>,
}

/// Which share of the requests is noted.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Of 2^32: those whose id ends in less.
    below: u64,
}

/// Where lines are made, one at a time.
#[derive(Default)]
struct Sheet {
    line: Vec<u8>,
    clock: Clock,
}

thread_local! {
    static SHEET: RefCell<Sheet> = RefCell::default();
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the file, if it goes to one, and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn start(config: &AccessConfig) -> Result<Self, TelemetryError> {
        let AccessConfig {
            format,
            to,
            rotation,
            keep,
            sample,
        } = config;
        let writer: Box<dyn Write + Send> = match to {
            AccessOutput::Stdout => Box::new(io::stdout()),
            AccessOutput::Stderr => Box::new(io::stderr()),
            AccessOutput::File(path) => {
                let file = RotatingFile::open(path, *rotation, *keep);
                Box::new(file.map_err(|source| TelemetryError::AccessFile {
                    path: path.clone(),
                    source,
                })?)
            }
        };
        Self::to_writer(*format, *sample, writer)
    }

    /// Writes to `writer`, of which a thread of its own calls `write` with one line or more.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn to_writer(
        format: AccessFormat,
        sample: f64,
        writer: Box<dyn Write + Send>,
    ) -> Result<Self, TelemetryError> {
        let queue = Queue::start(writer).map_err(TelemetryError::AccessThread)?;
        Ok(Self(Some(Arc::new(Desk {
            format,
            sample: Sample::of(sample),
            queue,
        }))))
    }

    /// Whether anything is noted.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to note a request.
    #[must_use]
    pub fn begin(&self, start: AccessStart<'_>) -> AccessEntry {
        match &self.0 {
            Some(desk) => AccessEntry::new(desk, start),
            None => AccessEntry::default(),
        }
    }

    /// How many lines were written so far, and how many were lost.
    #[must_use]
    pub fn counts(&self) -> AccessCounts {
        let desk = self.0.as_ref();
        desk.map(|desk| desk.queue.counts()).unwrap_or_default()
    }

    /// Counts its lines, without keeping it open.
    pub(crate) fn counter(&self) -> impl Fn() -> AccessCounts + Send + Sync + 'static {
        let queue = self.0.as_ref().map(|desk| Arc::clone(&desk.queue));
        move || {
            queue
                .as_ref()
                .map(|queue| queue.counts())
                .unwrap_or_default()
        }
    }

    /// Writes what is in the buffer and ends the thread; what is noted later is lost. Says whether it
    /// was done in this time.
    pub(crate) fn stop(&self, within: Duration) -> bool {
        let desk = self.0.as_ref();
        desk.is_none_or(|desk| desk.queue.stop(within))
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("enabled", &self.enabled())
            .field("counts", &self.counts())
            .finish()
    }
}

// === impl Desk ===

impl Desk {
    /// Passes on the line of a request that is over.
    fn note(&self, record: &Record) {
        if !record.failed() && !self.sample.takes(record) {
            return;
        }
        let noted = SHEET.try_with(|sheet| match sheet.try_borrow_mut() {
            Ok(mut sheet) => {
                self.pass_on(record, &mut sheet);
                true
            }
            Err(_) => false,
        });
        // The thread ends, and with it this request.
        if noted != Ok(true) {
            self.pass_on(record, &mut Sheet::default());
        }
    }

    fn pass_on(&self, record: &Record, sheet: &mut Sheet) {
        let Sheet { line, clock } = sheet;
        line.clear();
        match self.format {
            AccessFormat::Json => json::write(record, clock, line),
            AccessFormat::Combined => combined::write(record, clock, line),
        }
        self.queue.push(line);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.queue.close();
    }
}

// === impl Sample ===

impl Sample {
    fn of(share: f64) -> Self {
        // A share that is no number takes all, as one above 1 does.
        let share = if share.is_nan() { 1.0 } else { share };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2^32"
        )]
        let below = (share.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64;
        Self { below }
    }

    /// By the end of the id, which is random and nobody else's to choose: no number need be drawn.
    fn takes(self, record: &Record) -> bool {
        let [.., a, b, c, d] = *record.scope.id().as_uuid().as_bytes();
        u64::from(u32::from_be_bytes([a, b, c, d])) < self.below
    }
}

#[cfg(test)]
mod tests;
