//! The two streams that a process is given to write to.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::queue::Queue;

/// A stream of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// The queues of both, once somebody writes to them. For all of the process, as the streams are: two
/// threads that write to one would mix their lines up.
static QUEUES: [OnceLock<Queue>; 2] = [const { OnceLock::new() }; 2];

// === impl Standard ===

impl Standard {
    /// The queue of this stream. The thread is started by the first that asks for it.
    pub(super) fn queue(self) -> io::Result<Queue> {
        let queue = &QUEUES[self as usize];
        if let Some(queue) = queue.get() {
            return Ok(queue.clone());
        }
        // Of two that ask at once, the thread of one ends before anything is given to it.
        let opened = self.open()?;
        Ok(queue.get_or_init(|| opened).clone())
    }

    fn open(self) -> io::Result<Queue> {
        // By a descriptor of its own: the library's handles hold a lock while they write, which the end
        // of the process asks for as well.
        let (name, stream) = match self {
            Self::Output => ("stdout", io::stdout().as_fd().try_clone_to_owned()?),
            Self::Error => ("stderr", io::stderr().as_fd().try_clone_to_owned()?),
        };
        Queue::start(name, Box::new(File::from(stream)))
    }

    /// Waits for so long until what was there when it was called is written; says whether it is.
    pub(crate) fn flush(self, within: Duration) -> bool {
        let queue = QUEUES[self as usize].get();
        queue.is_none_or(|queue| queue.flush(Instant::now() + within))
    }
}
