//! Measures the server without guests: a fixed answer compared with a plain hyper server, with
//! limits, ids and the access log on; the cost of idle connections; and the effect of TLS
//! handshakes on other connections.

use std::fs;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use headwater_tests::{Client, Host};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::goal::{Goal, mib};
use crate::handshakes;
use crate::load::{Round, Target};
use crate::options::Options;
use crate::plain::BODY;
use crate::speed::{Figures, WARM_UP};

/// The lowest share of hyper's requests per second.
const LEAST_RATIO: f64 = 0.85;

const IDLE: usize = 10_000;
/// The highest resident memory with this many connections, in MiB.
const MOST_RSS: f64 = 150.0;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "front: {} rounds of {} requests each for a fixed answer, in turn\n",
        options.rounds, options.requests
    );
    let folder = TempDir::new().context("making a temporary folder")?;
    let file = folder.path().join("headwater.toml");
    fs::write(
        &file,
        format!(
            "[server]\nclient_rate = \"1000000/s\"\n[[answer]]\nroute = \"/...\"\nbody = {BODY:?}\n"
        ),
    )?;
    let this = std::env::current_exe().context("asking for the path of this program")?;
    let hyper = Host::program(this).arg("plain-server").start().await?;
    let front = Host::serve(&file)
        .arg("--access-log")
        .arg("--access-log-to")
        .arg(folder.path().join("access.log"))
        .start()
        .await?;
    let mut hyper = Target::connect(hyper, "/").await?;
    let mut front = Target::connect(front, "/").await?;
    hyper.load(WARM_UP).await?;
    front.load(WARM_UP).await?;
    let (mut hyper_rounds, mut front_rounds) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        hyper_rounds.push(hyper.load(options.requests).await?);
        front_rounds.push(front.load(options.requests).await?);
    }
    let ratio = Round::ratio(&front_rounds, &hyper_rounds);
    let hyper = Figures::new(&hyper_rounds, hyper.server.process().rss()?);
    let front = Figures::new(&front_rounds, front.server.process().rss()?);
    hyper.print("hyper, plain");
    front.print("headwater, [[answer]]");
    println!(
        "{:<24}{ratio:>12.2}{:>16.2}\n",
        "ratio",
        front.cpu_micros / hyper.cpu_micros
    );
    let mut goals = vec![
        Goal {
            target: format!("at least {LEAST_RATIO} of hyper's requests per second"),
            found: format!("{ratio:.2}"),
            met: ratio >= LEAST_RATIO,
        },
        idle(&file).await?,
    ];
    goals.extend(handshakes::measure(options).await?);
    Ok(goals)
}

/// Opens connections that get one answer each and then stay idle.
async fn idle(file: &std::path::Path) -> Result<Goal> {
    let host = Host::serve(file)
        .args(["--keep-alive-timeout", "10m", "--max-connections", "20000"])
        .start()
        .await?;
    let address = host.url().trim_start_matches("http://");
    let connections: Vec<TcpStream> = stream::iter(0..IDLE)
        .map(|_| answered(address))
        .buffer_unordered(64)
        .try_collect()
        .await
        .context("opening connections (see `ulimit -n`)")?;
    host.process().calm().await?;
    let rss = mib(host.process().rss()?);
    // They are still open, and other requests are answered.
    let beside = Client::new().get(host.url()).await?;
    anyhow::ensure!(beside.status == 200, "{}", beside.status);
    println!(
        "  {rss:.1} MiB with {} idle connections\n",
        connections.len()
    );
    Ok(Goal {
        target: format!("under {MOST_RSS} MiB with {IDLE} idle connections"),
        found: format!("{rss:.1} MiB"),
        met: rss < MOST_RSS,
    })
}

async fn answered(address: &str) -> Result<TcpStream> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(BODY.as_bytes()) {
        anyhow::ensure!(
            stream.read_buf(&mut answer).await? > 0,
            "the connection was closed"
        );
    }
    Ok(stream)
}
