//! All that the process writes: what it writes, where to, and the one way there.
//!
//! Whoever reads standard error, standard output or a file may stop to read: a log driver that is
//! stuck, a terminal after Ctrl-S, a disk that does not answer. A write then takes for ever, and a
//! thread that serves requests, answers probes or receives signals must not be the one that makes it.
//! So there is a thread for each place that is written to, with a bounded [queue](Queue) in front of it. A record that there is no room for is lost, counted, and told of in the log once there is room.
//!
//! Not by `tracing-appender`, whose shape this has: its queue is bounded by the number of lines and not
//! by their bytes, it leaves a batch at the first write that fails and tells nobody, waits for its end
//! for a second and no other time, cannot open a file anew, and counts what is lost by stream, where the
//! log, the access log, the trace tree and a command's output share one in their order.

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

/// How long standard error is waited for once more, with what was told of the other outputs' end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is written.
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
    /// What a command tells whoever started it: see [`console`](crate::console).
    Console,
}

/// How many records were written, and how many were not. A record is a line of a log, a tree, or in
/// a trace file a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputCounts {
    /// Records that were written.
    pub written: u64,
    /// Records that were lost: there was no room, or they could not be written.
    pub lost: u64,
}

/// A file that is appended to. If another program moves or removes it, it is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// Where it is.
    pub path: PathBuf,
    /// When it is put aside for a new one. Default: never.
    pub rotation: Rotation,
    /// How many files that were put aside are kept; the oldest are removed. Default: all, because
    /// nothing is to be removed that nobody spoke of.
    pub keep: Option<usize>,
}

/// When a file is put aside: renamed to its own name, a dot, and the time (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Not by Headwater.
    #[default]
    Never,
    /// With the first line of an hour.
    Hourly,
    /// With the first line of a day (UTC).
    Daily,
    /// Before the line that would make the file larger than so many bytes.
    Size(u64),
}

/// What takes the records of one output. Never blocks, and never fails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OutputWriter {
    queue: Queue,
    output: Output,
}

/// All outputs that somebody writes to. Cheap to clone.
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

    /// Its name in metrics and in the log.
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

    /// What people call it.
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

    /// Whether its records are written at once. Others come with every request, and a busy host wakes a
    /// thread a hundred times a second for them and not with each.
    const fn is_prompt(self) -> bool {
        !matches!(self, Self::AccessLog | Self::TraceTree)
    }
}

// === impl FileConfig ===

impl FileConfig {
    /// The file at this path, which is never put aside.
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

    /// A stream of the process, which others write to as well.
    pub(crate) fn standard(output: Output, stream: Standard) -> Result<Self, TelemetryError> {
        let queue = stream.queue().map_err(TelemetryError::OutputThread)?;
        Ok(Self { queue, output })
    }

    /// A writer for this output alone, of which a thread of its own calls `write` with one record or
    /// more.
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

    /// Takes a record, if there is room. It ends with a line feed.
    pub(crate) fn push(&self, record: Vec<u8>) {
        self.push_many(record, 1);
    }

    /// Takes so many records in one piece, which are counted one by one.
    pub(crate) fn push_many(&self, records: Vec<u8>, count: u32) {
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
        self.push(record.to_vec());
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
    /// What was written of each so far, and what was lost.
    pub fn counts(&self) -> impl Iterator<Item = (Output, OutputCounts)> + '_ {
        self.0.iter().map(|writer| (writer.output, writer.counts()))
    }

    /// Has all files opened anew by their names, for a program that has moved them. The log tells of each.
    pub fn reopen(&self) {
        for writer in self.0.iter() {
            writer.queue.reopen();
        }
    }

    /// Waits for so long, for all of them together, until what was there when it was called is written,
    /// and tells in the log of those where it is not.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let is_late = |writer: &&OutputWriter| !writer.queue.flush(until);
        let late: Vec<_> = self.0.iter().filter(is_late).collect();
        for writer in &late {
            tracing::warn!(
                output = writer.output.as_str(),
                "its end could not be written in time and is lost: whoever reads it is too slow"
            );
        }
        if !late.is_empty() {
            // If it is not the log itself that is late.
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
