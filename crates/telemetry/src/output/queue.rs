//! The queue of records in front of a destination.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::{Output, OutputCounts};

/// The capacity of the queue for each output, in bytes: some ten thousand lines of an access log, a tenth of
/// a second of as many requests as two cores answer, or what two services may print at once. It is per
/// output, so that none takes the room of another.
const CAPACITY: usize = 8 << 20;

/// Additional room for records of the writing threads, in bytes, so that a full queue can be reported.
const RESERVE: usize = 64 << 10;

/// The size of one write, in bytes.
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
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: Sender<Message>,
    counts: Arc<[Counts; Output::COUNT]>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes neither written nor lost yet.
    waiting: AtomicUsize,
    written: AtomicU64,
    lost: AtomicU64,
}

enum Message {
    Record(Record),
    Reopen,
    /// Answered when all before it is written or lost.
    Flush(Sender<()>),
}

/// One record, or several in one piece.
struct Record {
    output: Output,
    bytes: Vec<u8>,
    count: u32,
}

struct Worker {
    to: Box<dyn Destination>,
    counts: Arc<[Counts; Output::COUNT]>,
    batch: Vec<Record>,
    bytes: Vec<u8>,
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
        let (queue, records, mut worker) = Self::unstarted(to);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || worker.run(&records))?;
        Ok(queue)
    }

    fn unstarted(to: Box<dyn Destination>) -> (Self, Receiver<Message>, Worker) {
        // Bounded by bytes, which channels do not offer.
        let (sender, records) = mpsc::channel();
        let counts = Arc::default();
        let queue = Self { sender, counts };
        let worker = Worker {
            to,
            counts: Arc::clone(&queue.counts),
            batch: Vec::new(),
            bytes: Vec::new(),
            torn: false,
            failing: false,
            told: [0; Output::COUNT],
            told_at: None,
        };
        (queue, records, worker)
    }

    /// Queues records, if there is room. Never blocks.
    pub(super) fn push(&self, output: Output, bytes: Vec<u8>, count: u32) {
        let Counts { waiting, lost, .. } = &self.counts[output as usize];
        let len = bytes.len();
        let room = CAPACITY + if WRITES.get() { RESERVE } else { 0 };
        let fits = waiting.fetch_add(len, Ordering::Relaxed) + len <= room;
        let record = Message::Record(Record {
            output,
            bytes,
            count,
        });
        if !fits || self.sender.send(record).is_err() {
            waiting.fetch_sub(len, Ordering::Relaxed);
            lost.fetch_add(count.into(), Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self, output: Output) -> OutputCounts {
        let Counts { written, lost, .. } = &self.counts[output as usize];
        OutputCounts {
            written: written.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
        }
    }

    /// Makes the thread reopen the destination before it writes anything else.
    pub(super) fn reopen(&self) {
        // Nothing to reopen if the thread has died.
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until all earlier records are written or lost. Returns true if they are in time.
    pub(super) fn flush(&self, until: Instant) -> bool {
        let waiting = |counts: &Counts| counts.waiting.load(Ordering::Acquire) > 0;
        if !self.counts.iter().any(waiting) {
            return true;
        }
        let (done, written) = mpsc::channel();
        let left = until.saturating_duration_since(Instant::now());
        self.sender.send(Message::Flush(done)).is_ok() && written.recv_timeout(left).is_ok()
    }
}

// === impl Worker ===

impl Worker {
    fn run(&mut self, records: &Receiver<Message>) {
        WRITES.set(true);
        loop {
            match records.recv_timeout(self.patience()) {
                Ok(first) => {
                    if first.may_wait() {
                        std::thread::park_timeout(LINGER);
                    }
                    for message in std::iter::once(first).chain(records.try_iter()) {
                        self.take(message);
                    }
                    self.write();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_of_the_lost(false);
        }
        self.tell_of_the_lost(true);
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Record(record) => {
                self.bytes.extend_from_slice(&record.bytes);
                self.batch.push(record);
                if self.bytes.len() >= BATCH {
                    self.write();
                    self.tell_of_the_lost(false);
                }
            }
            Message::Reopen => {
                self.write();
                self.to.reopen();
            }
            Message::Flush(done) => {
                self.write();
                // The waiting task may be gone.
                let _ = done.send(());
            }
        }
    }

    /// Writes the batch, and counts what was written or lost.
    fn write(&mut self) {
        let Some(last) = self.batch.last().map(|record| record.output) else {
            return;
        };
        let (done, result) = self.write_all();
        self.torn = done > 0 && self.bytes.get(done - 1) != Some(&b'\n') || done == 0 && self.torn;
        self.bytes.clear();
        let (mut end, mut first_lost) = (0, None);
        for record in self.batch.drain(..) {
            end += record.bytes.len();
            let counts = &self.counts[record.output as usize];
            let counted = if end > done {
                first_lost = first_lost.or(Some(record.output));
                &counts.lost
            } else {
                &counts.written
            };
            counted.fetch_add(record.count.into(), Ordering::Relaxed);
            let len = record.bytes.len();
            counts.waiting.fetch_sub(len, Ordering::Release);
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
    }

    fn write_all(&mut self) -> (usize, io::Result<()>) {
        let Self { to, bytes, .. } = self;
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
            let lost = self.counts[output as usize].lost.load(Ordering::Relaxed);
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

// === impl Message ===

impl Message {
    /// Returns true if the thread may wait for more to write with it.
    fn may_wait(&self) -> bool {
        matches!(self, Self::Record(record) if !record.output.is_prompt())
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
            queue.push(output, line.into(), 1);
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
        queue.push(Output::Log, b"first\n".into(), 1);
        calls.recv_timeout(LONG).unwrap();
        // The thread is now in `write` with the first record only.
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let room = (CAPACITY / line.len()) as u64;
        for _ in 0..room + 10 {
            queue.push(Output::AccessLog, line.clone(), 1);
        }
        queue.push(Output::Log, b"last\n".into(), 3);
        assert_eq!(queue.counts(Output::AccessLog), counts(0, 10));
        // The writing thread's own records still have room.
        WRITES.set(true);
        queue.push(Output::AccessLog, line.clone(), 1);
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
        let (queue, messages, mut worker) = Queue::unstarted(Box::new(to));
        let mut write = |records: &[&[u8]]| {
            for record in records {
                queue.push(Output::TraceFile, record.to_vec(), 2);
            }
            messages.try_iter().for_each(|message| worker.take(message));
            worker.write();
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
        let (queue, _messages, mut worker) = Queue::unstarted(Box::new(to));
        // While a process has one subscriber, tracing keeps for all threads whether the thread that comes to an
        // event first wants it; other tests have none.
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(dispatch, || {
            let line = vec![b'x'; CAPACITY];
            for (output, count) in [(Output::AuditLog, 1), (Output::TraceFile, 7)] {
                queue.push(output, line.clone(), 1);
                queue.push(output, line.clone(), count);
            }
            assert_eq!(worker.patience(), Duration::ZERO);
            worker.tell_of_the_lost(false);
            assert_eq!(worker.patience(), Duration::MAX);
            queue.push(Output::AuditLog, line.clone(), 2);
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
