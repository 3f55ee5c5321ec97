//! A server that guests call and that records the calls.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::trace_context::TraceParent;
use crate::within;

/// A request that the upstream received.
#[derive(Debug, Clone)]
pub struct Call {
    /// Path and query.
    pub path: String,
    /// The header `x-tag`: the incoming request for which the guest says it makes this call.
    pub tag: Option<String>,
    /// The header `traceparent`, if it is well-formed.
    pub traceparent: Option<TraceParent>,
    /// All headers.
    pub headers: HeaderMap,
}

/// The reaction of an upstream to a request.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Answers 200 after this time.
    Answer(Duration),
    /// Answers 200 after [`Upstream::release`] was called.
    Hold,
    /// Closes the connection with a reset once the request has begun to arrive.
    Reset,
}

/// A running upstream on a free port of 127.0.0.1. It ends when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    calls: watch::Sender<Vec<Call>>,
    released: watch::Sender<bool>,
}

impl Upstream {
    /// Starts an upstream that answers at once.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start() -> Result<Self> {
        Self::with(Behaviour::Answer(Duration::ZERO)).await
    }

    /// Starts an upstream with this behaviour.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn with(behaviour: Behaviour) -> Result<Self> {
        let listener = listen().context("binding a port for the upstream")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour,
            calls: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Returns the base URL, such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the calls until now, in the order of their arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.borrow().clone()
    }

    /// Returns the calls since the last time, and forgets them.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        let mut taken = Vec::new();
        let calls = &self.shared.calls;
        calls.send_modify(|calls| taken = std::mem::take(calls));
        taken
    }

    /// Waits until there are at least `count` calls, and returns them.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Call>> {
        let mut calls = self.shared.calls.subscribe();
        let waited = within(
            &format!("{count} calls at the upstream"),
            calls.wait_for(|calls| calls.len() >= count),
        )
        .await
        .map(drop);
        waited.with_context(|| format!("{} calls had arrived", self.calls().len()))?;
        Ok(self.calls())
    }

    /// Makes an upstream that holds its answers send them, now and from now on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the base URL of a port where nothing listens.
///
/// # Errors
///
/// Returns an error if no port is free.
pub async fn nobody() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Listens with the longest queue that the system allows: connections beyond it may wait for a
/// minute.
fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(u32::from(u16::MAX))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, together with all connections.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    if let Behaviour::Reset = shared.behaviour {
        if stream.readable().await.is_ok() {
            // Closing with zero linger sends a reset.
            let _ = stream.set_zero_linger();
        }
        return;
    }
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    // A client may leave at any time.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let call = Call::new(&request);
    shared.calls.send_modify(|calls| calls.push(call));
    match shared.behaviour {
        Behaviour::Answer(Duration::ZERO) | Behaviour::Reset => {}
        Behaviour::Answer(latency) => tokio::time::sleep(latency).await,
        Behaviour::Hold => {
            let _ = shared.released.subscribe().wait_for(|&open| open).await;
        }
    }
    Ok(Response::new(Full::from("answer of the upstream\n")))
}

impl Call {
    fn new(request: &Request<Incoming>) -> Self {
        let header = |name| {
            let value = request.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        Self {
            path: request.uri().to_string(),
            tag: header("x-tag"),
            traceparent: header("traceparent").and_then(|text| TraceParent::parse(&text)),
            headers: request.headers().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[tokio::test]
    async fn calls_are_noted_with_tag_and_trace() {
        let upstream = Upstream::start().await.unwrap();
        let parent = TraceParent::fresh();
        let url = format!("{}/call/0?x", upstream.url());
        let answer = Client::new().get_tagged(&url, "a", &parent).await.unwrap();
        assert_eq!(answer.status, 200);
        let calls = upstream.wait_for(1).await.unwrap();
        assert_eq!(calls[0].path, "/call/0?x");
        assert_eq!(calls[0].tag.as_deref(), Some("a"));
        assert_eq!(calls[0].traceparent.as_ref(), Some(&parent));
    }

    #[tokio::test]
    async fn a_held_answer_comes_once_it_is_released() {
        let upstream = Upstream::with(Behaviour::Hold).await.unwrap();
        let url = upstream.url();
        let answer = tokio::spawn(async move { Client::new().get(&url).await });
        upstream.wait_for(1).await.unwrap();
        assert!(!answer.is_finished());
        upstream.release();
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }

    #[tokio::test]
    async fn resets_and_refusals_are_no_answers() {
        let reset = Upstream::with(Behaviour::Reset).await.unwrap();
        Client::new().get(&reset.url()).await.unwrap_err();
        let nobody = nobody().await.unwrap();
        Client::new().get(&nobody).await.unwrap_err();
    }
}
