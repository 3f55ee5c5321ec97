//! Upstreams on free ports, and requests to them.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_core::{
    Attribution, Body, BodyError, RequestId, RequestScope, ScopeParts, SpanContext, SpanId,
    TraceFlags, TraceId, TraceState, Witness,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::dial::Dialler;
use crate::{Egress, EgressError, EgressParams, Grants, Network, SendOptions};

/// An upstream, and the number of connections that it has accepted.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Accepts forever and hands each connection to `each`.
pub(crate) async fn listen<F, R>(each: F) -> Upstream
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = Upstream {
        address: listener.local_addr().unwrap(),
        accepted: Arc::default(),
    };
    let accepted = Arc::clone(&upstream.accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(each(stream));
        }
    });
    upstream
}

pub(crate) async fn serve<F, R>(respond: F) -> Upstream
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    listen(move |stream| serve_on(stream, respond.clone())).await
}

pub(crate) async fn serve_on<S, F, R>(stream: S, respond: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = respond(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(crate) const IN_MEMORY: &str = "http://127.0.0.1/";

/// An upstream within the process, for a paused clock. Such a clock jumps to the next timer as soon as no
/// task can run, although bytes may be on their way through a socket.
pub(crate) fn listen_in_memory<F, R>(each: F) -> Network
where
    F: Fn(DuplexStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (dialler, mut dialled) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(stream) = dialled.recv().await {
            tokio::spawn(each(stream));
        }
    });
    Network {
        dialler: Dialler::Memory(dialler),
        ..Network::default()
    }
}

/// An upstream within the process that speaks HTTP.
pub(crate) fn serve_in_memory<F, R>(respond: F) -> Network
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    listen_in_memory(move |stream| serve_on(stream, respond.clone()))
}

/// Grants everything, including upstreams on this machine.
pub(crate) fn everything() -> Grants {
    Grants::parse(["*", "127.0.0.1", "[::1]"]).unwrap()
}

pub(crate) fn egress() -> Egress {
    Egress::new(EgressParams {
        grants: everything(),
        ..EgressParams::new("test")
    })
}

pub(crate) fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::new(
            TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
            SpanId::from(0xb7ad_6b71_6920_3331),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        service: "test".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}

pub(crate) fn attributed(scope: &Arc<RequestScope>) -> Attribution {
    Attribution::exact(Arc::clone(scope), Witness::Sole)
}

pub(crate) fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(headwater_core::empty()).unwrap()
}

/// Sends a request without a scope.
pub(crate) async fn send(
    egress: &Egress,
    request: Request<Body>,
) -> Result<Response<Body>, EgressError> {
    egress
        .send(request, SendOptions::default(), Attribution::unknown())
        .await
}

pub(crate) async fn whole(body: Body) -> Result<Bytes, BodyError> {
    Ok(body.collect().await?.to_bytes())
}

/// Long enough to differ from "at once", and short enough to wait for. Tests wait for the timeout itself;
/// nothing depends on how long it took.
pub(crate) const SHORT: Duration = Duration::from_millis(20);
