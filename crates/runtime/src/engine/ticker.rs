use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::engines::Engines;
use crate::threads::GuestThreads;

/// The interval at which running guests are made to yield their thread.
///
/// A guest that computes holds up the others on its thread for one or two ticks. Five milliseconds
/// is below what a person or a p99 notices and costs an idle host 200 wake-ups a second.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);

/// Increments the engines' epochs from a thread of its own, so that time passes even for a guest
/// that keeps every executor thread busy.
pub(super) struct Ticker {
    /// Dropped to end the thread, which waits on the other end.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engines: Arc<Engines>, threads: GuestThreads) -> std::io::Result<Self> {
        let (stop, stopping) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("epoch-ticker".into())
            .spawn(move || {
                while let Err(mpsc::RecvTimeoutError::Timeout) = stopping.recv_timeout(EPOCH_TICK) {
                    engines.increment_epochs();
                    threads.tick();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Never ticks.
    #[cfg(any(test, feature = "measure"))]
    pub(super) fn stopped() -> Self {
        Self {
            stop: None,
            thread: None,
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread wakes at once when its channel closes, and has nothing to report.
            let _ = thread.join();
        }
    }
}
