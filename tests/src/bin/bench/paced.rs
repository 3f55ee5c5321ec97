//! Sends requests at fixed times, however fast the server is: latencies have to be measured this
//! way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::load::CONNECTIONS;

/// A rate of evenly spaced requests.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) authority: String,
    pub(crate) path: &'static str,
    pub(crate) per_second: f64,
    pub(crate) length: Duration,
}

impl Pace {
    /// Sends requests at this rate over the connections in turn, and returns the 99th percentile of
    /// their latencies. A latency starts when its request is due, so a request that has to wait for
    /// its connection does not count as fast.
    pub(crate) async fn p99(&self) -> Result<Duration> {
        let started = Instant::now();
        let threads: Vec<_> = (0..CONNECTIONS)
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
        all.sort();
        Ok(all[all.len() * 99 / 100])
    }

    /// Uses one connection on its own thread: tokio's timers are only accurate to a millisecond,
    /// and CPU time of the client is missing for the server on these cores.
    fn send(&self, started: Instant, turn: usize) -> Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_nodelay(true)?;
        let Self {
            authority, path, ..
        } = self;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
        let interval = Duration::from_secs_f64(1.0 / self.per_second);
        let mut latencies = Vec::new();
        for number in 0.. {
            let place = u32::try_from(turn + number * CONNECTIONS)?;
            let due = started + interval * place;
            if due >= started + self.length {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
            thread::sleep(due.saturating_duration_since(Instant::now()));
            stream.write_all(request.as_bytes())?;
            read_answer(&mut stream)?;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    }
}

/// Reads a 200 of known length to its end.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection was closed, or the head is long");
        filled += read;
        let text = str::from_utf8(&buffer[..filled]).context("the answer is no text")?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        ensure!(head.starts_with("HTTP/1.1 200 "), "it answered {head}");
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("the answer has no length")?
            .parse()?;
        if body.len() >= length {
            return Ok(());
        }
    }
}
