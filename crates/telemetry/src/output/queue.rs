//! The queue of records in front of a destination.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Output, OutputCounts};

/// The capacity of the queue for each output, in bytes: some ten thousand lines of an access log, a tenth of
/// a second of as many requests as two cores answer, or what two services may print at once. It is per
/// output, so that none takes the room of another. As much again may be on its way to the disk.
const CAPACITY: usize = 8 << 20;

/// Additional room for records of the writing threads, in bytes, so that a full queue can be reported.
const RESERVE: usize = 64 << 10;

/// The size of a batch that is written without waiting for more, in bytes.
const BATCH: usize = 256 << 10;

/// The time that the thread waits for more after a record that is not prompt.
const LINGER: Duration = Duration::from_millis(10);

/// The interval of reports about lost records.
const TELL: Duration = Duration::from_secs(10);

/// The time before another write to a full stream that another process has set to `O_NONBLOCK`.
const FULL: Duration = Duration::from_millis(10);

thread_local! {
    /// True in a thread that writes what others make.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

pub(super) trait Destination: Write + Send {
    /// Reopens it by name, if it has one, and logs that.
    fn reopen(&mut self) {}
}

/// The queue between the makers of records and the thread that writes them. Cheap to clone; when the last
/// clone is dropped, the thread writes the rest and ends.
///
/// The bytes are copied under a lock: a channel would allocate each record in one thread and free it in
/// another, which costs more than the copy.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Open>);

/// Closes the queue when it is dropped.
#[derive(Debug)]
struct Open(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Notified if the thread has something to do.
    filled: Condvar,
    /// Notified if a batch is written or lost.
    settled: Condvar,
    counts: [Counts; Output::COUNT],
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// The bytes of each output in the batch.
    used: [usize; Output::COUNT],
    /// True if the thread waits for nothing more.
    prompt: bool,
    reopen: bool,
    closed: bool,
    /// The numbers of batches taken, and of those written or lost.
    taken: u64,
    settled: u64,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// One record of a batch, or several in one piece.
#[derive(Debug)]
struct Record {
    output: Output,
    len: usize,
    count: u32,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

struct Worker {
    shared: Arc<Shared>,
    to: Box<dyn Destination>,
    /// True if the last write failed and left a partial record.
    torn: bool,
    failing: bool,
    /// The numbers of lost records by output that were reported, and the time of the report.
    told: [u64; Output::COUNT],
    told_at: Option<Instant>,
}

// === impl Destination ===

impl Destination for std::fs::File {}

impl Destination for Box<dyn Write + Send> {}

// === impl Queue ===

impl Queue {
    pub(super) fn start(name: &str, to: Box<dyn Destination>) -> io::Result<Self> {
        let (queue, mut worker) = Self::unstarted(to);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || worker.run())?;
        Ok(queue)
    }

    fn unstarted(to: Box<dyn Destination>) -> (Self, Worker) {
        let shared = Arc::<Shared>::default();
        let worker = Worker {
            shared: Arc::clone(&shared),
            to,
            torn: false,
            failing: false,
            told: [0; Output::COUNT],
            told_at: None,
        };
        (Self(Arc::new(Open(shared))), worker)
    }

    /// Queues records, if there is room. Never blocks for longer than a copy takes.
    pub(super) fn push(&self, output: Output, bytes: &[u8], count: u32) {
        let Open(shared) = &*self.0;
        let mut waiting = shared.lock();
        let used = &mut waiting.used[output as usize];
        let room = CAPACITY + if WRITES.get() { RESERVE } else { 0 };
        if *used + bytes.len() > room {
            drop(waiting);
            shared.counts[output as usize].add(0, count);
            return;
        }
        *used += bytes.len();
        let batch = &mut waiting.batch;
        let before = batch.bytes.len();
        batch.bytes.extend_from_slice(bytes);
        batch.records.push(Record {
            output,
            len: bytes.len(),
            count,
        });
        let full = before < BATCH && batch.bytes.len() >= BATCH;
        let hurries = output.is_prompt() && !waiting.prompt;
        waiting.prompt |= hurries;
        drop(waiting);
        // Otherwise, the thread has been notified.
        if before == 0 || hurries || full {
            shared.filled.notify_one();
        }
    }

    pub(super) fn counts(&self, output: Output) -> OutputCounts {
        self.0.0.counts[output as usize].read()
    }

    /// Makes the thread reopen the destination before it writes anything else.
    pub(super) fn reopen(&self) {
        let Open(shared) = &*self.0;
        shared.lock().reopen = true;
        shared.filled.notify_one();
    }

    /// Waits until all earlier records are written or lost. Returns true if they are in time.
    pub(super) fn flush(&self, until: Instant) -> bool {
        let Open(shared) = &*self.0;
        let mut waiting = shared.lock();
        let last = waiting.taken + u64::from(!waiting.batch.records.is_empty());
        waiting.prompt = true;
        shared.filled.notify_one();
        let left = until.saturating_duration_since(Instant::now());
        let is_early = |waiting: &mut Waiting| waiting.settled < last;
        let waited = shared.settled.wait_timeout_while(waiting, left, is_early);
        waited.unwrap_or_else(PoisonError::into_inner).0.settled >= last
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

// === impl Shared ===

impl Shared {
    /// Waits for something to do, up to `patience`, and swaps the batch for `spare`. Returns the batch,
    /// which may be empty, and whether to reopen the destination. Returns `None` at the end.
    fn take(&self, spare: Batch, patience: Duration) -> Option<(Batch, bool)> {
        let is_idle = |waiting: &mut Waiting| waiting.len() == 0 && !waiting.is_urgent();
        let is_small =
            |waiting: &mut Waiting| (1..BATCH).contains(&waiting.len()) && !waiting.is_urgent();
        let waited = self
            .filled
            .wait_timeout_while(self.lock(), patience, is_idle);
        let waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        let waited = self.filled.wait_timeout_while(waiting, LINGER, is_small);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        if waiting.closed && waiting.len() == 0 {
            return None;
        }
        waiting.taken += u64::from(waiting.len() > 0);
        waiting.used = [0; Output::COUNT];
        waiting.prompt = false;
        let batch = std::mem::replace(&mut waiting.batch, spare);
        Some((batch, std::mem::take(&mut waiting.reopen)))
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

// === impl Waiting ===

impl Waiting {
    fn len(&self) -> usize {
        self.batch.bytes.len()
    }

    fn is_urgent(&self) -> bool {
        self.prompt || self.reopen || self.closed
    }
}

// === impl Batch ===

impl Batch {
    /// Empties it, and keeps room for the next batch but not for the largest.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BATCH);
        self.records.clear();
        self.records.shrink_to(BATCH / 256);
    }
}

// === impl Counts ===

impl Counts {
    fn add(&self, written: u32, lost: u32) {
        self.written.fetch_add(written.into(), Ordering::Relaxed);
        self.lost.fetch_add(lost.into(), Ordering::Relaxed);
    }

    fn read(&self) -> OutputCounts {
        OutputCounts {
            written: self.written.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

// === impl Worker ===

impl Worker {
    fn run(&mut self) {
        WRITES.set(true);
        let mut spare = Batch::default();
        while let Some((batch, reopen)) = self.shared.take(spare, self.patience()) {
            if reopen {
                self.to.reopen();
            }
            spare = self.write(batch);
            self.tell_of_the_lost(false);
        }
        self.tell_of_the_lost(true);
    }

    /// Writes the batch, and counts what was written or lost. Returns the batch, empty.
    fn write(&mut self, mut batch: Batch) -> Batch {
        let Some(last) = batch.records.last().map(|record| record.output) else {
            return batch;
        };
        let (done, result) = self.write_all(&batch.bytes);
        self.torn = done > 0 && batch.bytes.get(done - 1) != Some(&b'\n') || done == 0 && self.torn;
        let (mut end, mut first_lost) = (0, None);
        for record in &batch.records {
            end += record.len;
            let counts = &self.shared.counts[record.output as usize];
            if end > done {
                first_lost = first_lost.or(Some(record.output));
                counts.add(0, record.count);
            } else {
                counts.add(record.count, 0);
            }
        }
        let title = first_lost.unwrap_or(last).title();
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
        self.shared.settle();
        batch.clear();
        batch
    }

    fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let to = &mut *self.to;
        if self.torn {
            // Ends the partial record before, so that this one can be read.
            match put(to, b"\n") {
                (_, Ok(())) => self.torn = false,
                (_, error) => return (0, error),
            }
        }
        match put(to, bytes) {
            (done, Ok(())) => (done, to.flush()),
            cut => cut,
        }
    }

    /// Returns the time until the next report is due.
    fn patience(&self) -> Duration {
        let since = self.told_at.map_or(TELL, |at| at.elapsed());
        match self.untold().next() {
            Some(_) => TELL.saturating_sub(since),
            None => Duration::MAX,
        }
    }

    /// Returns the losses of each output that were not reported.
    fn untold(&self) -> impl Iterator<Item = (Output, u64)> + '_ {
        let all = Output::ALL.into_iter();
        let untold = all.map(|output| {
            let lost = self.shared.counts[output as usize].read().lost;
            (output, lost - self.told[output as usize])
        });
        // Failed writes were reported when they failed.
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

/// Writes all bytes. Returns the number written, and the result.
fn put(to: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match to.write(&bytes[done..]) {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::test_support::Buffer;

    const LONG: Duration = Duration::from_secs(60);

    /// A writer that reports each call and waits for permission to go on.
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

    fn start(to: Box<dyn Write + Send>) -> Queue {
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
        // The thread is now in `write` with the first record only.
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let room = (CAPACITY / line.len()) as u64;
        for _ in 0..room + 10 {
            queue.push(Output::AccessLog, &line, 1);
        }
        queue.push(Output::Log, b"last\n", 3);
        assert_eq!(queue.counts(Output::AccessLog), counts(0, 10));
        // The writing thread's own records still have room.
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
                    // A stream that does not block, and is full for a while.
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
        let (queue, mut worker) = Queue::unstarted(Box::new(to));
        let mut write = |records: &[&[u8]]| {
            for record in records {
                queue.push(Output::TraceFile, record, 2);
            }
            let (batch, _) = worker.shared.take(Batch::default(), LONG).unwrap();
            worker.write(batch);
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
        let to: Box<dyn Write + Send> = Box::new(io::sink());
        let (queue, mut worker) = Queue::unstarted(Box::new(to));
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
