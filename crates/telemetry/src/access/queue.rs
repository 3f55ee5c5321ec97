//! Lines on their way to where they are written.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much waits at most, in bytes: some ten thousand lines, a tenth of a second of as many
/// requests as two cores answer. As much again may be on its way to the disk.
const CAPACITY: usize = 8 << 20;

/// With so much the writer goes ahead, in bytes.
const PLENTY: usize = 256 << 10;

/// How long the writer waits for more when there is a line: at most so long is a line on its way,
/// and a host that is busy wakes a thread a hundred times a second and not with every request.
const LINGER: Duration = Duration::from_millis(10);

/// How often is told of lines that were lost.
const TELL: Duration = Duration::from_secs(10);

/// How many lines were written, and how many were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessCounts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were lost: there was no room, or they could not be written.
    pub lost: u64,
}

/// Between those who make lines and the one that writes them.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// The writer has something to do.
    filled: Condvar,
    /// The writer has ended.
    ended: Condvar,
    written: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    count: u64,
    closed: bool,
    ended: bool,
}

/// What the thread works with.
struct Worker {
    queue: Arc<Queue>,
    writer: Box<dyn Write + Send>,
    /// The last write failed, and left a part of its line.
    torn: bool,
    failing: bool,
    /// How many lost lines were told of, and when.
    told: (u64, Option<Instant>),
}

// === impl Queue ===

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(writer: Box<dyn Write + Send>) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let worker = Worker {
            queue: Arc::clone(&queue),
            writer,
            torn: false,
            failing: false,
            told: (0, None),
        };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || worker.run())?;
        Ok(queue)
    }

    /// Takes a line, if there is room. Never blocks for longer than a copy takes.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        let before = waiting.lines.len();
        let after = before + line.len();
        if waiting.closed || after > CAPACITY {
            drop(waiting);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(line);
        waiting.count += 1;
        drop(waiting);
        // Otherwise the writer knows already.
        if before == 0 || (before < PLENTY && after >= PLENTY) {
            self.filled.notify_one();
        }
    }

    pub(super) fn counts(&self) -> AccessCounts {
        AccessCounts {
            written: self.written.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// Has the writer write what there is, and end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The same, and waits for it; says whether it was done in this time.
    pub(super) fn stop(&self, within: Duration) -> bool {
        self.close();
        let waited = self
            .ended
            .wait_timeout_while(self.lock(), within, |waiting| !waiting.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Waits for lines and swaps them for `spare`. None when there will be no more.
    fn take(&self, spare: Vec<u8>) -> Option<(Vec<u8>, u64)> {
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.closed;
        let few = |waiting: &mut Waiting| waiting.lines.len() < PLENTY && !waiting.closed;
        let waiting = self.filled.wait_while(self.lock(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let waiting = self.filled.wait_timeout_while(waiting, LINGER, few);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner).0;
        if waiting.lines.is_empty() {
            return None;
        }
        let lines = std::mem::replace(&mut waiting.lines, spare);
        Some((lines, std::mem::take(&mut waiting.count)))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self) {
        let mut spare = Vec::new();
        while let Some((mut lines, count)) = self.queue.take(spare) {
            self.write(&lines, count);
            self.tell_of_the_lost(false);
            lines.clear();
            // A burst shall not be paid for ever after.
            lines.shrink_to(PLENTY);
            spare = lines;
        }
        self.tell_of_the_lost(true);
        // Its end is what a stop waits for.
        drop(self.writer);
        self.queue.lock().ended = true;
        self.queue.ended.notify_all();
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        let (done, result) = self.write_all(lines);
        self.torn = done > 0 && lines.get(done - 1) != Some(&b'\n') || done == 0 && self.torn;
        let whole = match result {
            Ok(()) => count,
            Err(_) => lines[..done].iter().filter(|byte| **byte == b'\n').count() as u64,
        };
        self.queue.written.fetch_add(whole, Ordering::Relaxed);
        let lost = count.saturating_sub(whole);
        self.queue.lost.fetch_add(lost, Ordering::Relaxed);
        match result {
            Ok(()) if self.failing => tracing::info!("the access log is written again"),
            // Once per failure, not once per write.
            Err(error) if !self.failing => tracing::error!(
                %error,
                "the access log cannot be written, and its lines are lost until it can; requests \
                 are not affected"
            ),
            Ok(()) => {}
            Err(_) => return,
        }
        self.failing = lost > 0;
    }

    /// How far it came, and how it ended.
    fn write_all(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        if self.torn {
            // Ends what is left of the line before, so that this one can be read.
            match self.writer.write_all(b"\n") {
                Ok(()) => self.torn = false,
                Err(error) => return (0, Err(error)),
            }
        }
        let mut done = 0;
        while done < lines.len() {
            match self.writer.write(&lines[done..]) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, self.writer.flush())
    }

    fn tell_of_the_lost(&mut self, last: bool) {
        let lost = self.queue.counts().lost;
        let (told, at) = self.told;
        // What cannot be written was told of where it failed.
        let due = last || at.is_none_or(|at| at.elapsed() >= TELL);
        if lost == told || !due || self.failing {
            return;
        }
        self.told = (lost, Some(Instant::now()));
        tracing::warn!(
            lost = lost - told,
            "requests are missing from the access log: it could not be written as fast as they ended"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::test_support::Buffer;

    const LONG: Duration = Duration::from_secs(60);

    /// A writer that says when it is called and goes on when it is told to.
    struct Gated {
        called: mpsc::Sender<()>,
        go: mpsc::Receiver<()>,
        to: Buffer,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.called.send(()).ok();
            self.go.recv().ok();
            self.to.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_arrive_whole_and_in_their_order_and_a_stop_waits_for_the_last() {
        let buffer = Buffer::default();
        let queue = Queue::start(Box::new(buffer.clone())).unwrap();
        let expected: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        for line in expected.split_inclusive('\n') {
            queue.push(line.as_bytes());
        }
        assert!(queue.stop(LONG));
        assert_eq!(buffer.text(), expected);
        let counts = AccessCounts {
            written: 5000,
            lost: 0,
        };
        assert_eq!(queue.counts(), counts);
        queue.push(b"too late\n");
        assert_eq!(queue.counts().lost, 1);
    }

    #[test]
    fn a_writer_that_stands_still_blocks_nobody_and_the_lost_are_counted() {
        let (called, calls) = mpsc::channel();
        let (open, go) = mpsc::channel();
        let buffer = Buffer::default();
        let to = buffer.clone();
        let queue = Queue::start(Box::new(Gated { called, go, to })).unwrap();
        queue.push(b"first\n");
        calls.recv_timeout(LONG).unwrap();
        // It is in `write` now, with the first alone.
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let room = (CAPACITY / line.len()) as u64;
        for _ in 0..room + 10 {
            queue.push(&line);
        }
        assert_eq!(queue.counts().lost, 10);
        assert!(!queue.stop(Duration::ZERO));
        drop(open);
        assert!(queue.stop(LONG));
        assert_eq!(queue.counts().written, 1 + room);
        assert_eq!(buffer.text().lines().count() as u64, 1 + room);
    }

    #[test]
    fn a_line_after_a_failed_one_can_be_read_and_what_failed_is_counted() {
        /// Takes one line and a half, then fails once, then works.
        struct Flaky(Buffer, u32);
        impl Write for Flaky {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 {
                    1 => self.0.write(&bytes[..6]),
                    2 => Err(io::ErrorKind::StorageFull.into()),
                    _ => self.0.write(bytes),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let mut worker = Worker {
            queue: Arc::default(),
            writer: Box::new(Flaky(buffer.clone(), 0)),
            torn: false,
            failing: false,
            told: (0, None),
        };
        worker.write(b"one\ntwo\nthree\n", 3);
        worker.write(b"four\n", 1);
        assert_eq!(buffer.text(), "one\ntw\nfour\n");
        let counts = AccessCounts {
            written: 2,
            lost: 2,
        };
        assert_eq!(worker.queue.counts(), counts);
    }
}
