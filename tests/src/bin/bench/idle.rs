//! Measures the memory of a thousand warm idle instances.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::instances::{Instances, LOG};
use headwater_tests::{Host, within};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::goal::{Goal, mib};

const INSTANCES: usize = 1_000;
/// The streams of one connection; the host allows 200.
const STREAMS: usize = 100;
/// The highest resident memory of the host, in MiB.
const MOST_RSS: f64 = 300.0;

pub(crate) async fn measure() -> Result<Vec<Goal>> {
    println!("idle: {INSTANCES} instances of hello, each with one request behind it\n");
    let number = INSTANCES.to_string();
    let host = Host::serve(guest("hello")?)
        .args(["--max-instances", &number, "--min-idle", &number])
        .args(["--max-queue", &number, "--queue-timeout", "60s"])
        .args(["--max-concurrent-per-instance", "1", "--timeout", "60s"])
        .args(["--log", LOG])
        .start()
        .await?;
    let before = mib(host.process().rss()?);
    let instances = Instances::of("hello", host.stderr());

    // Clients that read the heads of their answers and no byte of the bodies: each keeps its
    // instance busy, so the host needs an instance for each client.
    let connections = (0..INSTANCES / STREAMS).map(|_| held(host.url()));
    let connections = try_join_all(connections);
    let connections = within("all instances have answered", connections).await??;
    instances.wait_started(INSTANCES).await?;
    let busy = mib(host.process().rss()?);
    drop(connections);
    host.process().calm().await?;

    let gone = instances.gone();
    ensure!(gone == 0, "{gone} instances are gone");
    let idle = mib(host.process().rss()?);
    println!(
        "  {before:.1} MiB before, {busy:.1} MiB while all answer, {idle:.1} MiB when all are idle"
    );
    println!(
        "  {:.0} KiB each\n",
        (idle - before) * 1024.0 / INSTANCES as f64
    );
    Ok(vec![Goal {
        target: format!("under {MOST_RSS} MiB with {INSTANCES} idle instances"),
        found: format!("{idle:.1} MiB"),
        met: idle < MOST_RSS,
    }])
}

/// A connection whose answers are read only up to the end of the head.
struct Held {
    _sender: http2::SendRequest<Empty<Bytes>>,
    _answers: Vec<Response<Incoming>>,
}

async fn held(url: &str) -> Result<Held> {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        // No window for any byte of a body.
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream))
        .await
        .context("opening an HTTP/2 connection")?;
    tokio::spawn(connection);
    let answers = (0..STREAMS).map(|_| {
        let mut sender = sender.clone();
        async move {
            let answer = sender.send_request(Request::get(url).body(Empty::new())?);
            let answer = answer.await?;
            ensure!(answer.status() == 200, "{}", answer.status());
            Ok(answer)
        }
    });
    Ok(Held {
        _answers: try_join_all(answers).await?,
        _sender: sender,
    })
}
