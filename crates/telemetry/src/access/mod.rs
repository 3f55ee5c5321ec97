//! The access log: one line for each request, once it is over.
//!
//! A line is made where its request ends, and put into the queue of an [output](crate::output). So a
//! request costs the making of its line.

mod combined;
mod config;
mod escape;
mod json;
mod record;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use headwater_core::AccessFormat;

pub use self::config::{AccessConfig, AccessOutput};
use self::record::Record;
pub use self::record::{AccessEntry, AccessStart};
use crate::TelemetryError;
use crate::output::{Output, OutputCounts, OutputWriter, Standard};

/// What requests are noted with. Cheap to clone; the default notes nothing and costs nothing.
///
/// When the last clone is dropped, what is in the queue is still written, by a thread that nobody
/// waits for: [`Telemetry::shutdown`](crate::Telemetry::shutdown) does wait.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Logger>>);

/// What makes lines of records, and passes them on.
struct Logger {
    format: AccessFormat,
    /// Which share of the requests is noted, of 2^32: those whose id ends in less.
    sample: u64,
    writer: OutputWriter,
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
            sample: below(sample),
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
        if !record.failed() && !self.samples(record) {
            return;
        }
        self.writer.push(match self.format {
            AccessFormat::Json => json::line(record),
            AccessFormat::Combined => combined::line(record),
        });
    }

    /// By the end of the id, which is random and nobody else's to choose: no number need be drawn.
    fn samples(&self, record: &Record) -> bool {
        let [.., a, b, c, d] = *record.scope.id().as_uuid().as_bytes();
        u64::from(u32::from_be_bytes([a, b, c, d])) < self.sample
    }
}

/// A share, of 2^32. One that is no number takes all, as one above 1 does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^32"
)]
fn below(share: f64) -> u64 {
    let share = if share.is_nan() { 1.0 } else { share };
    (share.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64
}

#[cfg(test)]
mod tests;
