//! Promise: an orderly end loses no request.

use anyhow::{Result, ensure};
use headwater_tests::attribution::Ledger;
use headwater_tests::guests::guest;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Upstream, within};
use tempfile::TempDir;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_at_sigterm_is_answered_and_the_exit_code_is_zero() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let mut host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", &held.url()])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    let request = tokio::spawn(async move { Client::new().get(&url).await });
    held.wait_for(1).await?;

    host.process().terminate()?;
    // The drain has begun once nothing new is accepted. Only then may the request go on.
    let address = host.url().trim_start_matches("http://").to_owned();
    within("a refused connection", async {
        while TcpStream::connect(&address).await.is_ok() {}
    })
    .await?;
    held.release();

    let answer = request.await??;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let status = host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_after_the_response_that_is_open_at_the_end_has_its_span() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let mut host = Host::serve(guest("detached")?)
        .args(["--allow-outgoing", &held.url(), "--drain-timeout", "1s"])
        .arg("--trace-file")
        .arg(&path)
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    let mut ledger = Ledger::default();
    let parent = ledger.enter("open");
    let answer = Client::new().get_tagged(&url, "open", &parent).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    // Whether the host waits for it for a while or ends it at once, the call was made.
    let calls = held.wait_for(1).await?;
    let status = host.stop().await?;
    ensure!(status.code() == Some(0), "{status}");
    ledger.follow(&calls, &TraceFile::read(&path)?, "stack")
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_an_idle_host_with_exit_code_zero() -> Result<()> {
    let mut host = Host::serve(guest("hello")?).start().await?;
    // A keep-alive connection that stays open must not hold up the end.
    let client = Client::new();
    ensure!(client.get(host.url()).await?.status == 200);
    host.process().interrupt()?;
    let status = host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}
