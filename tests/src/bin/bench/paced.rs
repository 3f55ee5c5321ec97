//! Sends requests at fixed times, however fast the server is: latencies have to be measured this
//! way.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::answer::Answers;

/// The time after which a server that does not answer is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rate of evenly spaced requests.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) authority: String,
    /// The bytes of a request, for each connection in turn.
    pub(crate) requests: Arc<[Vec<u8>]>,
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
    pub(crate) length: Duration,
}

impl Pace {
    /// Sends requests at this rate over the connections in turn, and returns the latencies in
    /// order. A latency starts when its request is due, so a request that has to wait for its
    /// connection does not count as fast.
    ///
    /// # Errors
    ///
    /// Returns an error if an answer has another status than 200, or no request was due.
    pub(crate) async fn latencies(&self) -> Result<Vec<Duration>> {
        let started = Instant::now();
        let threads: Vec<_> = (0..self.connections)
            .map(|turn| {
                let pace = self.clone();
                tokio::task::spawn_blocking(move || pace.send(started, turn))
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.await??);
        }
        ensure!(!all.is_empty(), "no request was due");
        all.sort_unstable();
        Ok(all)
    }

    /// Returns the 99th percentile of the latencies.
    pub(crate) async fn p99(&self) -> Result<Duration> {
        let all = self.latencies().await?;
        Ok(all[all.len() * 99 / 100])
    }

    /// Uses one connection on its own thread: tokio's timers are only accurate to a millisecond,
    /// and CPU time of the client is missing for the server on these cores.
    fn send(&self, started: Instant, turn: usize) -> Result<Vec<Duration>> {
        let mut stream = self.connect()?;
        let mut answers = Answers::new();
        let request = &self.requests[turn % self.requests.len()];
        let interval = Duration::from_secs_f64(1.0 / self.per_second);
        let mut latencies = Vec::new();
        for number in 0.. {
            let place = u32::try_from(turn + number * self.connections)?;
            let due = started + interval * place;
            if due >= started + self.length {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(request)?;
            answers.read(&mut stream)?;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}
