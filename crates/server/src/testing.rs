//! Small handlers, a server on a free port, and clients for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope};
use http::{Request, Response};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    Certificates, DrainParams, Front, FrontParams, ListenerParams, Route, RouteError, Router,
    ServeOutcome, Server, ServerParams,
};

/// Longer than any test waits.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A handler made of an async closure.
pub(crate) struct Each<F>(pub(crate) F);

impl<F, R> Handler for Each<F>
where
    F: Fn(Request<Body>, Arc<RequestScope>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response<Body>, Fault>> + Send + 'static,
{
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        Box::pin((self.0)(request, scope))
    }
}

pub(crate) fn each<F, R>(f: F) -> Arc<dyn Handler>
where
    F: Fn(Request<Body>, Arc<RequestScope>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response<Body>, Fault>> + Send + 'static,
{
    Arc::new(Each(f))
}

pub(crate) fn answer_with(text: &'static str) -> Arc<dyn Handler> {
    each(move |_, _| async move { Ok(Response::new(headwater_core::full(text))) })
}

/// A route to the service `test` that never times out.
pub(crate) fn route(pattern: &str, handler: Arc<dyn Handler>) -> Route {
    let mut route = Route::new(pattern, "test", handler);
    route.timeout = LONG;
    route
}

/// A router of these patterns, each answered.
pub(crate) fn router(patterns: &[&str]) -> Result<Router, RouteError> {
    let routes = patterns.iter();
    Router::new(routes.map(|pattern| route(pattern, answer_with("ok"))))
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) outcome: JoinHandle<ServeOutcome>,
    pub(crate) certificates: Certificates,
}

/// Serves this handler at every path.
pub(crate) async fn start(handler: Arc<dyn Handler>) -> Running {
    start_with(params(), [route("/...", handler)]).await
}

pub(crate) fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].socket_addr().unwrap()
}

pub(crate) fn params() -> ServerParams {
    ServerParams {
        listeners: vec![ListenerParams::at(free_port())],
        drain: DrainParams {
            timeout: LONG,
            idle_grace: Duration::from_millis(20),
            ..DrainParams::default()
        },
        ..ServerParams::default()
    }
}

pub(crate) async fn start_with(
    params: ServerParams,
    routes: impl IntoIterator<Item = Route>,
) -> Running {
    start_front(params, FrontParams::default(), routes).await
}

pub(crate) async fn start_front(
    params: ServerParams,
    front: FrontParams,
    routes: impl IntoIterator<Item = Route>,
) -> Running {
    let server = Server::bind(params).await.unwrap();
    let front = Front::new(front, Router::new(routes).unwrap());
    let shutdown = CancellationToken::new();
    Running {
        address: address(&server),
        certificates: server.certificates(),
        outcome: tokio::spawn(server.serve(front, shutdown.clone())),
        shutdown,
    }
}

/// Sends these bytes and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

pub(crate) async fn h1(address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection with prior knowledge.
pub(crate) async fn h2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A GET in origin form with a host.
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "x.example")
        .body(Full::default())
        .unwrap()
}

/// A GET in absolute form, as HTTP/2 clients need it.
pub(crate) fn get_h2(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://x.example{path}"))
        .body(Full::default())
        .unwrap()
}
