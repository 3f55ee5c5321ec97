//! The outputs of the process.
//!
//! The reader of standard error, standard output or a file may stall: a stuck log driver, a terminal after
//! Ctrl-S, a disk that does not answer. A write then blocks for ever, and must not block a thread that serves
//! requests, answers probes or receives signals. So each destination has a thread with a bounded
//! [queue](Queue) in front of it. Records that do not fit are lost, counted, and reported in the log once
//! there is room.
//!
//! `tracing-appender` has the same shape, but does not fit: its queue is bounded by lines instead of bytes,
//! it silently drops a batch at the first write that fails, waits one fixed second at its end, cannot reopen
//! a file, and counts losses by stream, where the log, the access log, the trace tree and a command's output
//! share one in their order.

mod file;
mod queue;
mod standard;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use self::file::RotatingFile;
use self::queue::{Destination, Queue};
pub(crate) use self::standard::Standard;
use crate::TelemetryError;

/// The time that a shutdown waits once more for standard error, with reports about other outputs.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// An output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The log.
    Log,
    /// The access log.
    AccessLog,
    /// The audit log, in its file.
    AuditLog,
    /// Traces in a file.
    TraceFile,
    /// Traces as trees.
    TraceTree,
    /// A command's output: see [`console`](crate::console).
    Console,
}

/// The numbers of records written and lost. A record is a line of a log, a tree, or in a trace file a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputCounts {
    /// Records that were written.
    pub written: u64,
    /// Records that were lost: there was no room, or they could not be written.
    pub lost: u64,
}

/// An output file, opened for appending. If another program moves or removes it, it is created anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The path.
    pub path: PathBuf,
    /// The rotation. Default: never.
    pub rotation: Rotation,
    /// The number of rotated files to keep; the oldest are removed. Default: all, because files should not be
    /// removed unasked.
    pub keep: Option<usize>,
}

/// The time of rotation, which renames a file to its own name, a dot, and the time (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Not by Headwater.
    #[default]
    Never,
    /// At the first line of an hour.
    Hourly,
    /// At the first line of a day (UTC).
    Daily,
    /// Before a line that would make the file larger than this many bytes.
    Size(u64),
}

/// The writer of one output. Never blocks, and never fails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OutputWriter {
    queue: Queue,
    output: Output,
}

/// All outputs in use. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outputs(Arc<[OutputWriter]>);

// === impl Output ===

impl Output {
    const ALL: [Self; 6] = [
        Self::Log,
        Self::AccessLog,
        Self::AuditLog,
        Self::TraceFile,
        Self::TraceTree,
        Self::Console,
    ];

    const COUNT: usize = Self::ALL.len();

    /// Returns the name in metrics and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::AccessLog => "access_log",
            Self::AuditLog => "audit_log",
            Self::TraceFile => "trace_file",
            Self::TraceTree => "trace_tree",
            Self::Console => "console",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Log => "the log",
            Self::AccessLog => "the access log",
            Self::AuditLog => "the audit log",
            Self::TraceFile => "the trace file",
            Self::TraceTree => "the trace tree",
            Self::Console => "the command's output",
        }
    }

    /// Returns true if records are written at once. The others come with every request: a busy host wakes a
    /// thread a hundred times a second for them rather than for each.
    const fn is_prompt(self) -> bool {
        !matches!(self, Self::AccessLog | Self::TraceTree)
    }
}

// === impl FileConfig ===

impl FileConfig {
    /// Returns the file at this path, which is never rotated.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rotation: Rotation::default(),
            keep: None,
        }
    }
}

// === impl OutputWriter ===

impl OutputWriter {
    /// Opens a file for this output alone.
    pub(crate) fn file(output: Output, config: &FileConfig) -> Result<Self, TelemetryError> {
        let file = RotatingFile::open(config).map_err(|source| TelemetryError::OutputFile {
            output: output.title(),
            path: config.path.clone(),
            source,
        })?;
        Self::start(output, Box::new(file))
    }

    /// Opens a stream of the process, which other outputs share.
    pub(crate) fn standard(output: Output, stream: Standard) -> Result<Self, TelemetryError> {
        let queue = stream.queue().map_err(TelemetryError::OutputThread)?;
        Ok(Self { queue, output })
    }

    /// Uses a writer for this output alone. A thread of its own calls `write` with one record or more.
    pub(crate) fn to_writer(
        output: Output,
        writer: Box<dyn Write + Send>,
    ) -> Result<Self, TelemetryError> {
        Self::start(output, Box::new(writer))
    }

    fn start(output: Output, to: Box<dyn Destination>) -> Result<Self, TelemetryError> {
        let queue = Queue::start(output.as_str(), to).map_err(TelemetryError::OutputThread)?;
        Ok(Self { queue, output })
    }

    /// Queues a record, if there is room. It ends with a line feed.
    pub(crate) fn push(&self, record: &[u8]) {
        self.push_many(record, 1);
    }

    /// Queues several records in one piece, which are counted one by one.
    pub(crate) fn push_many(&self, records: &[u8], count: u32) {
        self.queue.push(self.output, records, count);
    }

    pub(crate) fn counts(&self) -> OutputCounts {
        self.queue.counts(self.output)
    }

    #[cfg(test)]
    pub(crate) fn flush(&self, within: Duration) -> bool {
        self.queue.flush(Instant::now() + within)
    }
}

/// Each write is a record.
impl Write for &OutputWriter {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.push(record);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for OutputWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl fmt::Debug for OutputWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputWriter")
            .field("output", &self.output)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

// === impl Outputs ===

impl Outputs {
    /// Returns the counts of each output so far.
    pub fn counts(&self) -> impl Iterator<Item = (Output, OutputCounts)> + '_ {
        self.0.iter().map(|writer| (writer.output, writer.counts()))
    }

    /// Reopens all files by name, after a program has moved them. Each is logged.
    pub fn reopen(&self) {
        for writer in self.0.iter() {
            writer.queue.reopen();
        }
    }

    /// Waits up to this time, for all outputs together, until all earlier records are written. Logs the
    /// outputs that did not finish.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let is_late = |writer: &&OutputWriter| !writer.queue.flush(until);
        let late: Vec<_> = self.0.iter().filter(is_late).collect();
        for writer in &late {
            tracing::warn!(
                output = writer.output.as_str(),
                "the last records could not be written in time and are lost: the reader is too slow"
            );
        }
        if !late.is_empty() {
            // In case the log itself is not the one that is late.
            Standard::Error.flush(LAST_WORDS);
        }
    }
}

impl FromIterator<OutputWriter> for Outputs {
    fn from_iter<I: IntoIterator<Item = OutputWriter>>(writers: I) -> Self {
        Self(writers.into_iter().collect())
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}
