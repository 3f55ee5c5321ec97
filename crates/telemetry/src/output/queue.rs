//! Records on their way to where they are written.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Output, OutputCounts};

/// How much waits at most of each output, in bytes: some ten thousand lines of an access log, a tenth of
/// a second of as many requests as two cores answer, or what two services may print at once. Of each,
/// so that none takes the room of another. As much again may be on its way to the disk.
const CAPACITY: usize = 8 << 20;

/// How much more waits of what the threads that write have to tell, in bytes: when a queue is full, what
/// is told of it finds room.
const RESERVE: usize = 64 << 10;

thread_local! {
    /// Whether this thread writes what others make.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// With so much the thread goes ahead, in bytes.
const PLENTY: usize = 256 << 10;

/// How long the thread waits for more when there is a record that is not prompt.
const LINGER: Duration = Duration::from_millis(10);

/// How often is told of records that were lost.
const TELL: Duration = Duration::from_secs(10);

/// How long a stream is left alone that is full and does not let the thread wait until it is not: one
/// that somebody else has set to `O_NONBLOCK`.
const FULL: Duration = Duration::from_millis(10);

/// Where records are written to.
pub(super) trait Destination: Write + Send {
    /// Opens it anew by its name, if it has one, and tells in the log.
    fn reopen(&mut self) {}
}

/// Between those who make records and the thread that writes them.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// The thread has something to do.
    filled: Condvar,
    /// A batch was written, or lost.
    settled: Condvar,
    counts: [Counts; Output::COUNT],
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    /// How many bytes there are of each output.
    used: [usize; Output::COUNT],
    /// Nothing more is waited for.
    prompt: bool,
    reopen: bool,
    closed: bool,
    /// How many batches were taken, and how many of them are written or lost.
    taken: u64,
    settled: u64,
}

/// Records, in their order.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// One record of the bytes, or several in one piece.
struct Record {
    output: Output,
    len: usize,
    count: u32,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

/// What the thread is to do.
struct Work {
    batch: Batch,
    reopen: bool,
}

/// What the thread works with.
struct Worker {
    queue: Arc<Queue>,
    to: Box<dyn Destination>,
    /// The last write failed, and left a part of its record.
    torn: bool,
    failing: bool,
    /// How many lost records of each output were told of, and when.
    told: [u64; Output::COUNT],
    told_at: Option<Instant>,
}

// === impl Destination ===

impl Destination for File {}

impl Destination for Box<dyn Write + Send> {}

// === impl Queue ===

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(name: &str, to: Box<dyn Destination>) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let worker = Worker::new(Arc::clone(&queue), to);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || worker.run())?;
        Ok(queue)
    }

    /// Takes records, if there is room. Never blocks for longer than a copy takes.
    pub(super) fn push(&self, output: Output, bytes: &[u8], count: u32) {
        let mut waiting = self.lock();
        let used = &mut waiting.used[output as usize];
        let reserve = if WRITES.get() { RESERVE } else { 0 };
        if *used + bytes.len() > CAPACITY + reserve {
            drop(waiting);
            self.counts[output as usize]
                .lost
                .fetch_add(count.into(), Ordering::Relaxed);
            return;
        }
        *used += bytes.len();
        let before = waiting.batch.bytes.len();
        let after = before + bytes.len();
        waiting.batch.bytes.extend_from_slice(bytes);
        waiting.batch.records.push(Record {
            output,
            len: bytes.len(),
            count,
        });
        let hurries = output.is_prompt() && !waiting.prompt;
        waiting.prompt |= output.is_prompt();
        drop(waiting);
        // Otherwise the thread knows already.
        if before == 0 || hurries || (before < PLENTY && after >= PLENTY) {
            self.filled.notify_one();
        }
    }

    pub(super) fn counts(&self, output: Output) -> OutputCounts {
        let Counts { written, lost } = &self.counts[output as usize];
        OutputCounts {
            written: written.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
        }
    }

    /// Has the destination opened anew before anything else is written.
    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.filled.notify_one();
    }

    /// Has the thread write what there is, and end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits until all is written or lost that was there when it was called; says whether it was by then.
    pub(super) fn flush(&self, until: Instant) -> bool {
        let mut waiting = self.lock();
        let last = waiting.taken + u64::from(!waiting.batch.is_empty());
        waiting.prompt = true;
        self.filled.notify_one();
        let left = until.saturating_duration_since(Instant::now());
        let waited = self
            .settled
            .wait_timeout_while(waiting, left, |waiting| waiting.settled < last);
        waited.unwrap_or_else(PoisonError::into_inner).0.settled >= last
    }

    /// Waits for something to do, and swaps what there is for `spare`. After `patience` it gives what
    /// there is, which may be nothing. None when there will be no more.
    fn take(&self, spare: Batch, patience: Duration) -> Option<Work> {
        let idle = |waiting: &mut Waiting| waiting.batch.is_empty() && !waiting.is_urgent();
        let few = |waiting: &mut Waiting| {
            let len = waiting.batch.bytes.len();
            0 < len && len < PLENTY && !waiting.is_urgent()
        };
        let waiting = self.lock();
        let waited = self.filled.wait_timeout_while(waiting, patience, idle);
        let waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        let waited = self.filled.wait_timeout_while(waiting, LINGER, few);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        if waiting.closed && waiting.batch.is_empty() {
            return None;
        }
        waiting.taken += u64::from(!waiting.batch.is_empty());
        waiting.used = [0; Output::COUNT];
        waiting.prompt = false;
        Some(Work {
            batch: std::mem::replace(&mut waiting.batch, spare),
            reopen: std::mem::take(&mut waiting.reopen),
        })
    }

    fn settle(&self) {
        self.lock().settled += 1;
        self.settled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

// === impl Waiting ===

impl Waiting {
    /// Whether more is not waited for.
    fn is_urgent(&self) -> bool {
        self.prompt || self.reopen || self.closed
    }
}

// === impl Batch ===

impl Batch {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Leaves it empty, with room for the next: a burst shall not be paid for ever after.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(PLENTY);
        self.records.clear();
        self.records.shrink_to(PLENTY / 256);
    }
}

// === impl Worker ===

impl Worker {
    fn new(queue: Arc<Queue>, to: Box<dyn Destination>) -> Self {
        Self {
            queue,
            to,
            torn: false,
            failing: false,
            told: [0; Output::COUNT],
            told_at: None,
        }
    }

    fn run(mut self) {
        WRITES.set(true);
        let mut spare = Batch::default();
        while let Some(Work { mut batch, reopen }) = self.queue.take(spare, self.patience()) {
            if reopen {
                self.to.reopen();
            }
            if !batch.is_empty() {
                self.write(&batch);
                self.queue.settle();
                batch.clear();
            }
            spare = batch;
            self.tell_of_the_lost(false);
        }
        self.tell_of_the_lost(true);
    }

    fn write(&mut self, batch: &Batch) {
        let (done, result) = self.write_all(&batch.bytes);
        self.torn = done > 0 && batch.bytes.get(done - 1) != Some(&b'\n') || done == 0 && self.torn;
        let (mut end, mut first_lost) = (0, None);
        for record in &batch.records {
            end += record.len;
            let Counts { written, lost } = &self.queue.counts[record.output as usize];
            if end > done {
                first_lost = first_lost.or(Some(record.output));
                lost.fetch_add(record.count.into(), Ordering::Relaxed);
            } else {
                written.fetch_add(record.count.into(), Ordering::Relaxed);
            }
        }
        let last = batch.records.last().map(|record| record.output);
        let title = first_lost.or(last).map_or("", Output::title);
        match result {
            Ok(()) if self.failing => tracing::info!("{title} is written again"),
            // Once per failure, not once per write.
            Err(error) if !self.failing => tracing::error!(
                %error,
                "{title} cannot be written, and is lost until it can; requests are not affected"
            ),
            Ok(()) | Err(_) => {}
        }
        self.failing = first_lost.is_some();
    }

    /// How far it came, and how it ended.
    fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        if self.torn {
            // Ends what is left of the record before, so that this one can be read.
            match self.put(b"\n") {
                (_, Ok(())) => self.torn = false,
                (_, error) => return (0, error),
            }
        }
        match self.put(bytes) {
            (done, Ok(())) => (done, self.to.flush()),
            cut => cut,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < bytes.len() {
            match self.to.write(&bytes[done..]) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::park_timeout(FULL);
                }
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// How long nothing may happen before there is something to be told of.
    fn patience(&self) -> Duration {
        let since = self.told_at.map_or(TELL, |at| at.elapsed());
        match self.untold().next() {
            Some(_) => TELL.saturating_sub(since),
            None => Duration::MAX,
        }
    }

    /// What was lost of each output and not told of.
    fn untold(&self) -> impl Iterator<Item = (Output, u64)> + '_ {
        let all = Output::ALL.into_iter();
        let untold = all.map(|output| {
            let lost = self.queue.counts(output).lost;
            (output, lost - self.told[output as usize])
        });
        // What cannot be written was told of where it failed.
        untold.filter(|(_, lost)| *lost > 0 && !self.failing)
    }

    fn tell_of_the_lost(&mut self, last: bool) {
        if !last && self.told_at.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        let untold: Vec<_> = self.untold().collect();
        for (output, lost) in untold {
            self.told[output as usize] += lost;
            self.told_at = Some(Instant::now());
            tracing::warn!(
                output = output.as_str(),
                lost,
                "records are missing from {}: they could not be written as fast as they were made",
                output.title()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing_subscriber::layer::SubscriberExt;

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

    fn start(to: Box<dyn Write + Send>) -> Arc<Queue> {
        Queue::start("test", Box::new(to)).unwrap()
    }

    fn flush(queue: &Queue, within: Duration) -> bool {
        queue.flush(Instant::now() + within)
    }

    fn counts(written: u64, lost: u64) -> OutputCounts {
        OutputCounts { written, lost }
    }

    #[test]
    fn records_arrive_whole_and_in_their_order_and_a_flush_waits_for_the_last() {
        let buffer = Buffer::default();
        let queue = start(Box::new(buffer.clone()));
        let expected: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        for (number, line) in expected.split_inclusive('\n').enumerate() {
            let output = [Output::AccessLog, Output::Log][number % 2];
            queue.push(output, line.as_bytes(), 1);
        }
        assert!(flush(&queue, LONG));
        assert_eq!(buffer.text(), expected);
        for output in [Output::AccessLog, Output::Log] {
            assert_eq!(queue.counts(output), counts(2500, 0));
        }
        assert!(
            flush(&queue, Duration::ZERO),
            "there is nothing to wait for"
        );
    }

    #[test]
    fn a_writer_that_stands_still_blocks_nobody_and_takes_no_room_of_another_output() {
        let (called, calls) = mpsc::channel();
        let (open, go) = mpsc::channel();
        let buffer = Buffer::default();
        let to = buffer.clone();
        let queue = start(Box::new(Gated { called, go, to }));
        queue.push(Output::Log, b"first\n", 1);
        calls.recv_timeout(LONG).unwrap();
        // It is in `write` now, with the first alone.
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let room = (CAPACITY / line.len()) as u64;
        for _ in 0..room + 10 {
            queue.push(Output::AccessLog, &line, 1);
        }
        queue.push(Output::Log, b"last\n", 3);
        assert_eq!(queue.counts(Output::AccessLog), counts(0, 10));
        // What a thread that writes has to tell has room all the same.
        WRITES.set(true);
        queue.push(Output::AccessLog, &line, 1);
        WRITES.set(false);
        let room = room + 1;
        assert_eq!(queue.counts(Output::Log), counts(0, 0));
        assert!(!flush(&queue, Duration::ZERO));
        drop(open);
        assert!(flush(&queue, LONG));
        assert_eq!(queue.counts(Output::AccessLog), counts(room, 10));
        assert_eq!(queue.counts(Output::Log), counts(4, 0));
        assert_eq!(buffer.text().lines().count() as u64, 2 + room);
        assert!(buffer.text().contains("\nlast\n"));
    }

    #[test]
    fn a_record_after_a_failed_one_can_be_read_and_what_failed_is_counted() {
        /// Takes one line and a half, then fails once, then works.
        struct Flaky(Buffer, u32);
        impl Write for Flaky {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 {
                    1 => self.0.write(&bytes[..6]),
                    2 => Err(io::ErrorKind::StorageFull.into()),
                    // Of a stream that does not wait, and is full for a while.
                    3 | 5 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => self.0.write(bytes),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let to: Box<dyn Write + Send> = Box::new(Flaky(buffer.clone(), 0));
        let queue = Arc::<Queue>::default();
        let mut worker = Worker::new(queue.clone(), Box::new(to));
        let mut write = |records: &[&[u8]]| {
            for record in records {
                queue.push(Output::TraceFile, record, 2);
            }
            let work = queue.take(Batch::default(), LONG).unwrap();
            worker.write(&work.batch);
        };
        write(&[b"one\n", b"two\n", b"three\n"]);
        write(&[b"four\n"]);
        assert_eq!(buffer.text(), "one\ntw\nfour\n");
        assert_eq!(queue.counts(Output::TraceFile), counts(4, 4));
    }

    #[test]
    fn what_was_lost_is_told_of_once_there_is_room_again_though_nothing_more_is_written() {
        let log = Buffer::default();
        let writer = log.clone();
        let (layer, _level) =
            crate::log::layer(&crate::LogConfig::default(), move || writer.clone()).unwrap();
        let dispatch = tracing_subscriber::registry().with(layer);
        let queue = Arc::<Queue>::default();
        let to: Box<dyn Write + Send> = Box::new(io::sink());
        let mut worker = Worker::new(queue.clone(), Box::new(to));
        // While a process has one subscriber, tracing keeps for all threads whether the thread that comes to an
        // event first wants it; other tests have none.
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(dispatch, || {
            let line = vec![b'x'; CAPACITY];
            for (output, count) in [(Output::AuditLog, 1), (Output::TraceFile, 7)] {
                queue.push(output, &line, 1);
                queue.push(output, &line, count);
            }
            assert_eq!(worker.patience(), Duration::ZERO);
            worker.tell_of_the_lost(false);
            assert_eq!(worker.patience(), Duration::MAX);
            queue.push(Output::AuditLog, &line, 2);
            worker.tell_of_the_lost(false);
            assert!(worker.patience() <= TELL);
            worker.tell_of_the_lost(true);
        });
        let text = log.text();
        assert_eq!(text.lines().count(), 3, "{text}");
        for told in [
            "missing from the audit log: they could not be written as fast as they were made \
             output=\"audit_log\" lost=1",
            "output=\"trace_file\" lost=7",
            "output=\"audit_log\" lost=2",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}
