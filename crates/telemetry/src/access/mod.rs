//! The access log: one line for each request, once it is over.
//!
//! A line is made where its request ends, and put into the queue of an [output](crate::output). So a
//! request costs the making of its line and a copy.

mod combined;
mod config;
mod escape;
mod json;
mod record;

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use headwater_core::AccessFormat;

pub use self::config::{AccessConfig, AccessOutput};
use self::record::Record;
pub use self::record::{AccessEntry, AccessStart};
use crate::TelemetryError;
use crate::output::{Output, OutputCounts, OutputWriter, Standard};
use crate::timestamp::Clock;

/// What requests are noted with. Cheap to clone; the default notes nothing and costs nothing.
///
/// When the last clone is dropped, what is in the queue is still written, by a thread that nobody
/// waits for: [`Telemetry::shutdown`](crate::Telemetry::shutdown) does wait.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Logger>>);

/// What makes lines of records, and passes them on.
struct Logger {
    format: AccessFormat,
    sample: Sample,
    writer: OutputWriter,
}

/// Which share of the requests is noted.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Of 2^32: those whose id ends in less.
    below: u64,
}

/// Where lines are made, one at a time.
#[derive(Default)]
struct LineBuffer {
    line: Vec<u8>,
    clock: Clock,
}

thread_local! {
    static SHEET: RefCell<LineBuffer> = RefCell::default();
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the file, if it goes to one, and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn start(config: &AccessConfig) -> Result<Self, TelemetryError> {
        let AccessConfig { format, to, sample } = config;
        let writer = match to {
            AccessOutput::Stdout => OutputWriter::standard(Output::AccessLog, Standard::Output),
            AccessOutput::Stderr => OutputWriter::standard(Output::AccessLog, Standard::Error),
            AccessOutput::File(file) => OutputWriter::file(Output::AccessLog, file),
        };
        Ok(Self::with(*format, *sample, writer?))
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
        let writer = OutputWriter::to_writer(Output::AccessLog, writer)?;
        Ok(Self::with(format, sample, writer))
    }

    fn with(format: AccessFormat, sample: f64, writer: OutputWriter) -> Self {
        Self(Some(Arc::new(Logger {
            format,
            sample: Sample::of(sample),
            writer,
        })))
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
    pub fn counts(&self) -> OutputCounts {
        let writer = self.writer();
        writer.map(OutputWriter::counts).unwrap_or_default()
    }

    /// What its lines are written by.
    pub(crate) fn writer(&self) -> Option<&OutputWriter> {
        self.0.as_ref().map(|desk| &desk.writer)
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

// === impl Logger ===

impl Logger {
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
            self.pass_on(record, &mut LineBuffer::default());
        }
    }

    fn pass_on(&self, record: &Record, sheet: &mut LineBuffer) {
        let LineBuffer { line, clock } = sheet;
        line.clear();
        match self.format {
            AccessFormat::Json => json::write(record, clock, line),
            AccessFormat::Combined => combined::write(record, clock, line),
        }
        self.writer.push(line);
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
