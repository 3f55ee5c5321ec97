//! Promise (C10): SIGTERM under traffic loses no request that reached an open connection, and the
//! exit code tells how the end went.

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::steady::{self, Until};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Upstream, by_tier};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_of_many_requests_to_hosts_that_end_under_load() -> Result<()> {
    // The minimum number of requests of all hosts together, and of each before it ends.
    let (requests, before) = by_tier((10_000, 100), (100_000, 1_000));
    let hello = guest("hello")?;
    let mut answered = 0;
    while answered < requests {
        let mut host = Host::serve(&hello).start().await?;
        let (process, url) = (host.process(), host.url().to_owned());
        let load = tokio::spawn(async move {
            steady::ask(&url, "/", 16, Until::ToldToClose, |status, body| {
                ensure!(status == 200 && body.starts_with(b"Hello"), "{status}");
                Ok(())
            })
            .await
        });
        let own = steady::ask(host.url(), "/", 1, Until::Requests(before), |status, _| {
            ensure!(status == 200, "{status}");
            Ok(())
        });
        answered += own.await?.answered;
        process.terminate()?;
        let done = load.await??;
        ensure!(done.told_to_close == 16, "{done:?}");
        answered += done.answered;
        let status = host.exit().await?;
        ensure!(status.code() == Some(0), "{status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_and_a_second_signal_have_exit_codes_of_their_own() -> Result<()>
{
    for (signals, code) in [(1, 3), (2, 130)] {
        let held = Upstream::with(Behaviour::Hold).await?;
        let folder = TempDir::new()?;
        let socket = folder.path().join("socket");
        let mut host = Host::serve(guest("fanout")?)
            .args(["--allow-outgoing", &held.url()])
            .args(["--drain-timeout", if signals == 1 { "1s" } else { "10m" }])
            .arg("--listen")
            .arg(format!("unix:{}", socket.display()))
            .start()
            .await?;
        let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
        let request = tokio::spawn(async move { Client::new().get(&url).await });
        held.wait_for(1).await?;
        host.process().terminate()?;
        host.stderr()
            .wait_for("a line that says that it drains", |line| {
                line.contains("draining")
            })
            .await?;
        if signals == 2 {
            host.process().terminate()?;
        }
        let status = host.exit().await?;
        ensure!(status.code() == Some(code), "{signals}: {status}");
        // The socket's file is removed with the host, however it ends.
        ensure!(!socket.exists(), "{signals}");
        // The guest had not answered, so this is not work after its response.
        let said = host.stderr().text();
        ensure!(!said.contains("after their responses"), "{said}");
        ensure!(
            said.contains("1 connection was cut") == (signals == 1),
            "{said}"
        );
        ensure!(request.await.context("the client")?.is_err());
        held.release();
    }
    Ok(())
}
