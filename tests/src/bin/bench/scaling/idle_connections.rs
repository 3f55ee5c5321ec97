//! Connections that have been answered once and are idle since.

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use headwater_tests::Host;
use headwater_tests::guests::guest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connections;
use super::curve::{Case, Curve};

/// What `hello` answers.
const BODY: &str = "Hello from Headwater!";

const IDLE: [u64; 3] = [0, 1_000, 9_000];

pub(super) async fn measure(rounds: usize) -> Result<Curve> {
    let mut cases = Vec::new();
    let mut idle = Vec::new();
    // The last two hosts have their connections at the same time.
    let most = connections(IDLE.iter().sum())?;
    for count in IDLE {
        let count = count.min(most.saturating_sub(idle.len() as u64));
        let host = Host::serve(guest("hello")?)
            .args(["--keep-alive-timeout", "10m", "--max-connections", "20000"])
            .start()
            .await?;
        let address = host.address().to_owned();
        let opened: Vec<TcpStream> = stream::iter(0..count)
            .map(|_| answered(&address))
            .buffer_unordered(64)
            .try_collect()
            .await
            .context("opening connections (see `ulimit -n`)")?;
        idle.extend(opened);
        cases.push(Case::new(count, host, "/").await?);
    }
    Curve::of("idle connections", cases, rounds).await
}

async fn answered(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(BODY) {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(read > 0, "the connection was closed");
    }
    Ok(stream)
}
