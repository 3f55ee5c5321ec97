//! Requests that are open in the instance that answers others.

use anyhow::{Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use headwater_tests::Host;
use headwater_tests::guests::guest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::curve::{Case, Curve};

const OPEN: [usize; 4] = [0, 15, 127, 1_000];

pub(super) async fn measure(rounds: usize) -> Result<Curve> {
    let mut cases = Vec::new();
    let mut open = Vec::new();
    for count in OPEN {
        // One instance for all requests of its host, and nothing that ends those that wait.
        let host = Host::serve(guest("stream")?)
            .args(["--max-instances", "1", "--max-queue", "10000"])
            .args(["--max-concurrent-per-instance", "5000"])
            .args(["--max-requests-per-instance", "1000000000"])
            .args(["--max-in-flight-per-client", "5000"])
            .args(["--body-idle-timeout", "10m", "--send-timeout", "10m"])
            .args(["--keep-alive-timeout", "10m"])
            .start()
            .await?;
        let address = host.address().to_owned();
        let requests: Vec<TcpStream> = stream::iter(0..count)
            .map(|_| unfinished(&address))
            .buffer_unordered(64)
            .try_collect()
            .await?;
        open.extend(requests);
        cases.push(Case::new(count, host, "/bytes?n=16").await?);
    }
    Curve::of("open requests in 1 instance", cases, rounds).await
}

/// Sends the first byte of a body, and waits until the guest has sent it back.
async fn unfinished(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"1\r\n!\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n!\r\n") {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(
            read > 0,
            "it was answered: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(stream)
}
