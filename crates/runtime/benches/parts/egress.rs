//! The cost of an outgoing request: compared with hyper-util's pooled client in native code, and over
//! the network compared with within the host.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_core::{
    Attribution, Body, BodyError, Handler, HandlerFuture, LoopGuard, RequestScope, Witness, full,
};
use headwater_egress::{Egress, EgressParams, Grants, InternalServices, SendOptions};
use headwater_server::{
    Front, FrontParams, InternalFront, ListenerParams, Route, Router, Server, ServerParams,
};
use headwater_telemetry::Metrics;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::time::ClockId;
use tokio_util::sync::CancellationToken;

use crate::hello;
use crate::rounds::{Rounds, cpu, verdict};

const REQUESTS: usize = 4_000;
const AT_ONCE: usize = 16;
const ROUNDS: usize = 9;
/// The URL of the service of the same host.
pub(crate) const INSIDE: &str = "http://other.internal/";
/// The maximum time, as a multiple of the native client's.
const MOST_TIMES: f64 = 1.5;
/// The minimum speed of reaching a service of the same host, as a multiple of the network's.
const LEAST_TIMES_INSIDE: f64 = 3.0;

pub(crate) async fn measure() -> Result<bool> {
    println!(
        "\negress: {ROUNDS} rounds of {REQUESTS} requests, {AT_ONCE} at once, in turn, by CPU time"
    );
    let against_native = against_native().await?;
    Ok(against_native & inside_against_network().await?)
}

/// Measures the client's side alone: the upstream has a thread of its own.
async fn against_native() -> Result<bool> {
    let uri: Uri = format!("http://{}/", upstream()?).parse()?;
    let egress = Egress::new(EgressParams {
        grants: Grants::parse([format!("http://{}", uri.authority().context("no host")?)])?,
        ..EgressParams::new("bench")
    });
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);

    let mut native = Rounds::new("hyper-util's client");
    let mut ours = Rounds::new("egress");
    for round in 0..=ROUNDS {
        let one = by_native(&client, &uri).await?;
        let other = by_egress(&egress, &uri).await?;
        // The first is a warm-up.
        if round > 0 {
            native.push(one);
            ours.push(other);
        }
    }
    print([&native, &ours]);
    let times = ours.beside(&native, |ours, native| ours / native);
    let met = times <= MOST_TIMES;
    println!(
        "  target: at most {MOST_TIMES} times hyper-util's client: {times:.2}, {}",
        verdict(met)
    );
    Ok(met)
}

/// Measures both sides together: the same server and handler, with a connection and without.
async fn inside_against_network() -> Result<bool> {
    let loops = LoopGuard::default();
    let route = Route::new("/...", "other", Arc::new(Answer));
    let server = Server::bind(ServerParams {
        listeners: vec![ListenerParams::at(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            0,
        )))],
        ..ServerParams::default()
    })
    .await?;
    let [address] = server.addresses() else {
        bail!("there is not one listener");
    };
    let network: Uri = format!("{address}/").parse()?;
    let front = Front::new(
        FrontParams {
            loops: loops.clone(),
            ..FrontParams::default()
        },
        Router::new([route.clone()])?,
    );
    tokio::spawn(server.serve(front, CancellationToken::new()));

    let front = InternalFront::new(route, Metrics::default(), loops.clone());
    let front = Arc::new(front);
    let egress = inside(&front, loops)?;
    let inside = Uri::from_static(INSIDE);

    let mut by_network = Rounds::new("over loopback TCP");
    let mut within = Rounds::new("within the host");
    for round in 0..=ROUNDS {
        let one = by_egress(&egress, &network).await?;
        let other = by_egress(&egress, &inside).await?;
        if round > 0 {
            by_network.push(one);
            within.push(other);
        }
    }
    print([&by_network, &within]);
    let times = by_network.beside(&within, |network, within| network / within);
    let met = times >= LEAST_TIMES_INSIDE;
    println!(
        "  target: a service of the same host at least {LEAST_TIMES_INSIDE} times as fast: {times:.2}, {}",
        verdict(met)
    );
    Ok(met)
}

/// Returns a client for whom this front is the service at [`INSIDE`].
pub(crate) fn inside(front: &Arc<InternalFront>, loops: LoopGuard) -> Result<Egress> {
    let internal = InternalServices::default();
    internal.connect([("other", front)])?;
    Ok(Egress::new(EgressParams {
        grants: Grants::parse(["other.internal", "127.0.0.1"])?,
        internal,
        loops,
        ..EgressParams::new("bench")
    }))
}

fn print(both: [&Rounds; 2]) {
    for rounds in both {
        println!(
            "  {:26} {:6.2} µs a request",
            rounds.name,
            rounds.median() / REQUESTS as f64
        );
    }
}

async fn by_native(client: &Client<HttpConnector, Body>, uri: &Uri) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    try_join_all((0..AT_ONCE).map(async |_| {
        for _ in 0..REQUESTS / AT_ONCE {
            read(client.request(request(uri)?).await?).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

async fn by_egress(egress: &Egress, uri: &Uri) -> Result<Duration> {
    let scope = hello::scope();
    let before = cpu(ClockId::ThreadCPUTime);
    try_join_all((0..AT_ONCE).map(async |_| {
        for _ in 0..REQUESTS / AT_ONCE {
            send(egress, uri, &scope).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

/// Sends a request on behalf of the one with this scope, and reads the response to its end.
pub(crate) async fn send(egress: &Egress, uri: &Uri, scope: &Arc<RequestScope>) -> Result<()> {
    let attribution = Attribution::exact(scope.clone(), Witness::Stack);
    let sending = egress.send(request(uri)?, SendOptions::default(), attribution);
    read(sending.await?).await
}

fn request(uri: &Uri) -> Result<Request<Body>> {
    Ok(Request::get(uri.clone()).body(headwater_core::empty())?)
}

pub(crate) async fn read<B>(response: Response<B>) -> Result<()>
where
    B: http_body::Body<Error: Into<BodyError>>,
{
    ensure!(response.status() == 200, "answered {}", response.status());
    let body = response.into_body().collect().await;
    body.map_err(|error| anyhow!(error.into()))?;
    Ok(())
}

/// Answers every request at once.
pub(crate) struct Answer;

impl Handler for Answer {
    fn handle(&self, _: Request<Body>, _: Arc<RequestScope>) -> HandlerFuture {
        Box::pin(async { Ok(Response::new(full("Hello!\n"))) })
    }
}

/// Starts a plain server on a thread that lives as long as the process.
pub(crate) fn upstream() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = crate::one_thread()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(async move {
                    let hello = service_fn(async |_| {
                        let body = Full::new(Bytes::from_static(b"Hello!\n"));
                        Ok::<_, Infallible>(Response::new(body))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), hello)
                        .await;
                });
            }
        });
    });
    Ok(address)
}
