//! Connections to a server, which send the next request as soon as the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::client::Body;
use headwater_tests::within;
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::table::request::{Expected, Request};

/// Clients of one server.
pub(crate) struct Clients {
    connections: Vec<Connection>,
}

/// A keep-alive connection.
struct Connection {
    number: usize,
    sender: SendRequest<Body>,
    authority: Arc<str>,
    request: Request,
}

/// The end of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    /// No request is begun after this time.
    pub(crate) time: Duration,
    /// Nor after so many requests.
    pub(crate) requests: usize,
}

/// The result of a round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
}

// === impl Clients ===

impl Clients {
    /// Connects, and checks the first answer to each connection.
    pub(crate) async fn connect(
        authority: &str,
        connections: usize,
        request: &Request,
    ) -> Result<Self> {
        let authority: Arc<str> = authority.into();
        let connections = (0..connections).map(async |number| {
            let mut connection = Connection {
                number,
                sender: open(&authority).await?,
                authority: authority.clone(),
                request: request.clone(),
            };
            // A length is checked for each answer.
            let is_text = matches!(request.expected, Expected::Text(_));
            let body = connection.exchange(is_text).await?;
            if is_text {
                request.expected.check(&body)?;
            }
            anyhow::Ok(connection)
        });
        Ok(Self {
            connections: within("the first answers", try_join_all(connections)).await??,
        })
    }

    /// Sends requests over all connections until the end of the round, and waits for the answers.
    pub(crate) async fn load(&mut self, until: Until) -> Result<Round> {
        let left = Arc::new(AtomicUsize::new(until.requests));
        let started = Instant::now();
        let end = started + until.time;
        let tasks: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| tokio::spawn(connection.repeat(end, left.clone())))
            .collect();
        let mut requests = 0;
        for task in tasks {
            let (connection, sent) = within("the end of a round", task).await???;
            requests += sent;
            self.connections.push(connection);
        }
        Ok(Round {
            requests,
            elapsed: started.elapsed(),
        })
    }
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

// === impl Connection ===

async fn open(authority: &str) -> Result<SendRequest<Body>> {
    let stream = TcpStream::connect(authority).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Connection {
    /// Sends requests, at least one, and returns their number.
    async fn repeat(mut self, end: Instant, left: Arc<AtomicUsize>) -> Result<(Self, usize)> {
        let take = |left: usize| left.checked_sub(1);
        let mut sent = 0;
        while (sent == 0 || Instant::now() < end)
            && left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
        {
            self.exchange(false).await?;
            sent += 1;
        }
        Ok((self, sent))
    }

    /// Sends a request and reads the whole answer; returns its body if it is kept.
    async fn exchange(&mut self, keep: bool) -> Result<Vec<u8>> {
        if self.sender.ready().await.is_err() {
            // Servers may close a connection between two requests.
            self.sender = open(&self.authority).await?;
            self.sender.ready().await?;
        }
        let request = self.request.http(self.number, &self.authority)?;
        let path = request.uri().clone();
        let response = self.sender.send_request(request).await;
        let response = response.with_context(|| format!("no answer to {path}"))?;
        let status = response.status();
        let mut body = response.into_body();
        let (mut kept, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("the answer to {path} was cut"))?;
            let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
            length += data.len();
            if keep || status != 200 {
                kept.extend_from_slice(data);
            }
        }
        ensure!(
            status == 200,
            "{path} answered {status}: {}",
            String::from_utf8_lossy(&kept[..kept.len().min(200)])
        );
        if let Expected::Length(expected) = self.request.expected {
            ensure!(length == expected, "{path} answered {length} bytes");
        }
        Ok(kept)
    }
}
