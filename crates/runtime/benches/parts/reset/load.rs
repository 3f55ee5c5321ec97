//! A server process under load.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Keep-alive connections, each with one request at a time.
const CONNECTIONS: usize = 32;

pub(crate) struct Server {
    _child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    connections: Vec<SendRequest<Empty<Bytes>>>,
    pub(crate) rate: f64,
}

struct Usage {
    cpu: Duration,
    rss: u64,
    peak: u64,
}

impl Server {
    /// Starts this binary as a server of the guest, on the engine of that name.
    pub(crate) async fn start(engine: &str, guest: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["reset-server", engine])
            .arg(guest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let ask = child.stdin.take().context("no stdin")?;
        let mut answers = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let address = answers.next_line().await?.context("the server ended")?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            connections.push(sender);
        }
        Ok(Self {
            _child: child,
            ask,
            answers,
            connections,
            rate: 0.0,
        })
    }

    /// Sends this many requests, each as soon as its connection is free, and returns the CPU time
    /// that the server used.
    pub(crate) async fn load(&mut self, requests: usize) -> Result<Duration> {
        let before = self.usage().await?.cpu;
        let started = Instant::now();
        let left = Arc::new(AtomicUsize::new(requests));
        let tasks: Vec<_> = self
            .connections
            .drain(..)
            .map(|sender| tokio::spawn(send(sender, left.clone())))
            .collect();
        for task in tasks {
            self.connections.push(task.await??);
        }
        self.rate = requests as f64 / started.elapsed().as_secs_f64();
        Ok(self.usage().await?.cpu - before)
    }

    pub(crate) async fn peak_mib(&mut self) -> Result<f64> {
        Ok(self.usage().await?.peak as f64 / 1024.0)
    }

    pub(crate) async fn rss_mib(&mut self) -> Result<f64> {
        Ok(self.usage().await?.rss as f64 / 1024.0)
    }

    async fn usage(&mut self) -> Result<Usage> {
        self.ask.write_all(b"\n").await?;
        let line = self
            .answers
            .next_line()
            .await?
            .context("the server ended")?;
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut number = || {
            numbers
                .next()
                .context("too few numbers")?
                .context("no number")
        };
        Ok(Usage {
            cpu: Duration::from_nanos(number()?),
            rss: number()?,
            peak: number()?,
        })
    }
}

async fn send(
    mut sender: SendRequest<Empty<Bytes>>,
    left: Arc<AtomicUsize>,
) -> Result<SendRequest<Empty<Bytes>>> {
    let take = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        sender.ready().await?;
        let request = Request::get("/")
            .header(HOST, "localhost")
            .body(Empty::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        ensure!(status == 200, "answered {status}");
        response.into_body().collect().await?;
    }
    Ok(sender)
}
