//! Standard output and standard error.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::queue::Queue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    Output,
    Error,
}

/// The queues of both, once used. They are global like the streams: two threads that write to one would mix
/// up their lines.
static QUEUES: [OnceLock<Queue>; 2] = [const { OnceLock::new() }; 2];

// === impl Standard ===

impl Standard {
    /// Returns the queue of this stream. The first call starts the thread.
    pub(super) fn queue(self) -> io::Result<Queue> {
        let queue = &QUEUES[self as usize];
        if let Some(queue) = queue.get() {
            return Ok(queue.clone());
        }
        // Of two concurrent calls, the thread of one ends unused.
        let opened = self.open()?;
        Ok(queue.get_or_init(|| opened).clone())
    }

    fn open(self) -> io::Result<Queue> {
        // A descriptor of its own: the library's handles hold a lock while they write, as does a process's end.
        let (name, stream) = match self {
            Self::Output => ("stdout", io::stdout().as_fd().try_clone_to_owned()?),
            Self::Error => ("stderr", io::stderr().as_fd().try_clone_to_owned()?),
        };
        Queue::start(name, Box::new(File::from(stream)))
    }

    /// Waits up to this time until all earlier records are written. Returns true if they are.
    pub(crate) fn flush(self, within: Duration) -> bool {
        let queue = QUEUES[self as usize].get();
        queue.is_none_or(|queue| queue.flush(Instant::now() + within))
    }
}
