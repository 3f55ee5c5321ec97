//! Promise: an instance that exceeds a request's deadline ends, and the requests that share it have
//! their time.

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::instances::{self, Instances};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Upstream, client, within};
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

// G3
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_missed_a_deadline_takes_nothing_new_and_is_dropped() -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args(["--timeout", "1s", "--log", instances::LOG])
        .arg("--access-log")
        .start()
        .await?;
    let client = Client::new();
    let late = client.get(&format!("{}/never", host.url())).await?;
    ensure!(late.status == 504, "{late:?}");
    let next = client.get(&format!("{}/instance", host.url())).await?;
    ensure!(next.status == 200, "{next:?}");
    let (late, next) = (
        instance(&host, "/never").await?,
        instance(&host, "/instance").await?,
    );
    ensure!(late != next, "the same instance serves on: {late}");
    let instances = Instances::of("faulty", host.stderr());
    instances.wait_retired(1, "deadline").await?;
    instances.wait_gone(1).await
}

/// Returns the number of the instance that had the request of this path.
async fn instance(host: &Host, path: &str) -> Result<u64> {
    let noted = format!("\"path\":\"{path}\"");
    let line = host
        .stderr()
        .wait_for("the line of a request", |line| line.contains(&noted));
    let line: Value = serde_json::from_str(&line.await?)?;
    line["instance"]
        .as_u64()
        .with_context(|| format!("no instance in {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_ends_within_the_grace_after_a_siblings_deadline_is_whole() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let host = Host::serve(guest("faulty")?)
        .args(["--max-instances", "1", "--timeout", "1s"])
        .args(["--allow-outgoing", &held.url()])
        .start()
        .await?;
    let url = format!("{}/drip?to={}", host.url(), held.url());
    let sibling = Client::new()
        .open(Request::get(url).body(client::empty())?)
        .await?;
    held.wait_for(1).await?;
    let late = Client::new().get(&format!("{}/never", host.url())).await?;
    ensure!(late.status == 504, "{late:?}");
    held.release();
    let body = within("the end of the body", sibling.into_body().collect()).await?;
    let body = body.context("the body was cut")?.to_bytes();
    ensure!(body == "firstlast", "{body:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_outlasts_the_grace_is_cut_and_never_ends_cleanly() -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args(["--max-instances", "1", "--timeout", "1s"])
        // The grace period is over long before.
        .args(["--post-return-timeout", "600s", "--idle-timeout", "600s"])
        .start()
        .await?;
    for client in [Client::new(), Client::http2()] {
        let url = format!("{}/drip", host.url());
        let sibling = client
            .open(Request::get(url).body(client::empty())?)
            .await?;
        ensure!(sibling.status() == 200);
        let late = client.get(&format!("{}/never", host.url())).await?;
        ensure!(late.status == 504, "{late:?}");
        let body = within("the end of the body", sibling.into_body().collect()).await?;
        ensure!(
            body.is_err(),
            "the body ended as if it were whole: {body:?}"
        );
    }
    Ok(())
}

// C1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_send_its_body_is_late_itself_and_costs_no_instance() -> Result<()> {
    let host = Host::serve(guest("stream")?)
        .args(["--max-instances", "1", "--timeout", "1s"])
        .args(["--log", instances::LOG])
        .start()
        .await?;
    let mut stalled = TcpStream::connect(host.url().trim_start_matches("http://")).await?;
    stalled
        .write_all(b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc")
        .await?;
    let mut answer = [0; 12];
    within("an answer", stalled.read_exact(&mut answer)).await??;
    ensure!(answer == *b"HTTP/1.1 408", "{answer:?}");
    let url = format!("{}/count", host.url());
    let next = Request::post(url).body(client::full("abcde"))?;
    let next = Client::new().open(next).await?;
    ensure!(next.status() == 200, "{next:?}");
    let instances = Instances::of("stream", host.stderr());
    ensure!(instances.retired("deadline") == 0);
    instances.wait_started(1).await
}
