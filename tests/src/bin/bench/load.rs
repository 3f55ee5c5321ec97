//! Connections to a server, which send the next request as soon as the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_tests::Host;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::goal::median;

/// Keep-alive connections, each with one request at a time.
pub(crate) const CONNECTIONS: usize = 32;

/// A server under load, and the connections to it.
pub(crate) struct Target {
    pub(crate) server: Host,
    connections: Vec<Connection>,
}

/// A keep-alive connection and the path that it requests.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    authority: Arc<str>,
    path: Arc<str>,
}

/// The result of one round.
pub(crate) struct Round {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
    /// CPU time of the server process.
    pub(crate) cpu: Duration,
}

impl Target {
    /// Connects to a server, to request `path`.
    pub(crate) async fn connect(server: Host, path: &str) -> Result<Self> {
        Self::connect_by(CONNECTIONS, server, path).await
    }

    /// Connects with this number of connections.
    pub(crate) async fn connect_by(connections: usize, server: Host, path: &str) -> Result<Self> {
        let authority: Arc<str> = server.url().trim_start_matches("http://").into();
        let path: Arc<str> = path.into();
        let connections =
            (0..connections).map(|_| Connection::open(authority.clone(), path.clone()));
        let connections = try_join_all(connections).await?;
        Ok(Self {
            server,
            connections,
        })
    }

    /// Sends this number of requests, each as soon as its connection is free.
    pub(crate) async fn load(&mut self, requests: usize) -> Result<Round> {
        let process = self.server.process();
        let left = Arc::new(AtomicUsize::new(requests));
        let (started, cpu) = (Instant::now(), process.cpu_time()?);
        let tasks: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| tokio::spawn(send(connection, left.clone())))
            .collect();
        for task in tasks {
            self.connections.push(task.await??);
        }
        Ok(Round {
            requests,
            elapsed: started.elapsed(),
            cpu: process.cpu_time()?.saturating_sub(cpu),
        })
    }

    /// Closes the connections, and ends the server by SIGTERM.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.connections.clear();
        let status = self.server.stop().await?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the ratio of the requests per second of these rounds to those of the others: the
    /// median over the pairs. The rounds of a pair are measured shortly after each other, because
    /// other load on a machine varies.
    pub(crate) fn ratio(these: &[Self], those: &[Self]) -> f64 {
        let pairs = these.iter().zip(those);
        median(pairs.map(|(this, that)| this.per_second() / that.per_second()))
    }
}

impl Connection {
    async fn open(authority: Arc<str>, path: Arc<str>) -> Result<Self> {
        let stream = TcpStream::connect(&*authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authority,
            path,
        })
    }

    /// Sends one request and reads the whole answer.
    async fn get(&mut self) -> Result<()> {
        let Self {
            sender,
            authority,
            path,
        } = self;
        sender.ready().await?;
        let request = Request::get(&**path)
            .header(HOST, &**authority)
            .body(Empty::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        ensure!(status == 200, "{authority}{path} answered {status}");
        response.into_body().collect().await?;
        Ok(())
    }
}

/// Sends requests until none are left, and returns the connection.
async fn send(mut connection: Connection, left: Arc<AtomicUsize>) -> Result<Connection> {
    let take = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        connection.get().await?;
    }
    Ok(connection)
}
