//! Promise: an orderly end loses no request.

use anyhow::{Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Upstream, within};
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
