//! The access log: one line for each finished request.
//!
//! The task that ends a request formats its line and puts it into the queue of an
//! [output](crate::output).

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

thread_local! {
    /// The memory of the line that a thread formats.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The access log. Cheap to clone; the default logs nothing and costs nothing.
///
/// When the last clone is dropped, a thread still writes what is in the queue, but nobody waits for
/// it: [`Telemetry::shutdown`](crate::Telemetry::shutdown) does.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Logger>>);

struct Logger {
    format: AccessFormat,
    /// The share of logged requests, of 2^32: those whose id ends in less.
    sample: u64,
    writer: OutputWriter,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the file, if any, and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened, or the thread cannot be started.
    pub fn start(config: &AccessConfig) -> Result<Self, TelemetryError> {
        let AccessConfig { format, to, sample } = config;
        let writer = match to {
            AccessOutput::Stdout => OutputWriter::standard(Output::AccessLog, Standard::Output),
            AccessOutput::Stderr => OutputWriter::standard(Output::AccessLog, Standard::Error),
            AccessOutput::File(file) => OutputWriter::file(Output::AccessLog, file),
        };
        Ok(Self::with(*format, *sample, writer?))
    }

    /// Writes to `writer`. A thread of its own calls `write` with one line or more.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread cannot be started.
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

    /// Returns true if requests are logged.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the entry of a request.
    #[must_use]
    pub fn begin(&self, start: AccessStart<'_>) -> AccessEntry {
        match &self.0 {
            Some(logger) => AccessEntry::new(logger, start),
            None => AccessEntry::default(),
        }
    }

    /// Returns the numbers of lines written and lost so far.
    #[must_use]
    pub fn counts(&self) -> OutputCounts {
        let writer = self.writer();
        writer.map(OutputWriter::counts).unwrap_or_default()
    }

    pub(crate) fn writer(&self) -> Option<&OutputWriter> {
        self.0.as_ref().map(|logger| &logger.writer)
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
    fn note(&self, record: &Record) {
        if !record.failed() && !self.samples(record) {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                AccessFormat::Json => json::write(record, line),
                AccessFormat::Combined => combined::write(record, line),
            }
            self.writer.push(line);
        });
    }

    /// Decides by the end of the id, which is random and not chosen by clients, so that no random
    /// number is needed.
    fn samples(&self, record: &Record) -> bool {
        let [.., a, b, c, d] = *record.scope.id().as_uuid().as_bytes();
        u64::from(u32::from_be_bytes([a, b, c, d])) < self.sample
    }
}

/// Converts a share to 2^32ths. NaN means all, as do values above 1.
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
