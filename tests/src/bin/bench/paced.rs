//! Requests that come when they come, however the server is getting on: what a latency is to be
//! measured with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::{Mutex, mpsc};

use crate::load::{Connection, Target};

type Due = Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>;

impl Target {
    /// Sends `per_second` requests a second for so long, evenly spaced, and gives the 99th percentile
    /// of their latencies. A request's latency counts from when it was due, so that one which had to
    /// wait for a connection is not taken for a quick one.
    pub(crate) async fn p99(&mut self, per_second: f64, length: Duration) -> Result<Duration> {
        let (sender, due) = mpsc::unbounded_channel();
        let due: Due = Arc::new(Mutex::new(due));
        // A thread, because tokio's timers are accurate to a millisecond.
        let pacer = std::thread::spawn(move || {
            let interval = Duration::from_secs_f64(1.0 / per_second);
            let mut next = Instant::now();
            let end = next + length;
            while next < end {
                #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                if sender.send(next).is_err() {
                    return;
                }
                next += interval;
            }
        });
        let tasks: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| tokio::spawn(send(connection, due.clone())))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            let (connection, latencies) = task.await??;
            self.connections.push(connection);
            all.extend(latencies);
        }
        pacer
            .join()
            .ok()
            .context("the pacing thread has panicked")?;
        ensure!(!all.is_empty(), "no request was due");
        all.sort();
        Ok(all[all.len() * 99 / 100])
    }
}

/// Sends a request whenever one is due and this connection's turn has come.
async fn send(mut connection: Connection, due: Due) -> Result<(Connection, Vec<Duration>)> {
    let mut latencies = Vec::new();
    loop {
        let next = due.lock().await.recv().await;
        let Some(due) = next else {
            return Ok((connection, latencies));
        };
        connection.get().await?;
        latencies.push(due.elapsed());
    }
}
