//! The threads that guests run on while they compute.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs in the order of their arrival. They end when this is dropped and no job is left.
pub(super) struct ComputingThreads {
    pub(super) count: usize,
    jobs: Sender<Job>,
}

impl ComputingThreads {
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let queue = queue.clone();
            thread::Builder::new()
                .name(format!("computing-{number}"))
                .spawn(move || work(&queue))?;
        }
        Ok(Self { count, jobs })
    }

    /// Runs a job, which must not panic.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // Fails only if all threads have ended, which they do not.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs a job on each thread, after those that wait. Returns true if all were done in time.
    pub(super) fn run_on_each(
        &self,
        job: impl Fn() + Send + Sync + 'static,
        within: Duration,
    ) -> bool {
        // Keeps a thread that is done from taking the job of another.
        let (all, job) = (Arc::new(Barrier::new(self.count)), Arc::new(job));
        let (done, is_done) = mpsc::channel();
        for _ in 0..self.count {
            let (all, job, done) = (all.clone(), job.clone(), done.clone());
            self.run(move || {
                all.wait();
                job();
                // Nobody waits any more if it took too long.
                let _ = done.send(());
            });
        }
        let until = Instant::now() + within;
        let left = || until.saturating_duration_since(Instant::now());
        (0..self.count).all(|_| is_done.recv_timeout(left()).is_ok())
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl fmt::Debug for ComputingThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputingThreads")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
