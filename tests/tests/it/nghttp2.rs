//! Promise: nghttp2's clients get from the front what HTTP/2 promises, also during a reload and a
//! shutdown.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::guests::guest;
use headwater_tests::h2load::Load;
use headwater_tests::output::Output;
use headwater_tests::programs::Program;
use headwater_tests::steady::{self, Until};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, H2load, Host, Upstream};
use tempfile::TempDir;

/// A host with `hello` at `/` and an echo at `/echo`, with and without TLS.
struct Site {
    host: Host,
    secure: String,
    clear: String,
    folder: TempDir,
}

impl Site {
    async fn serve() -> Result<Self> {
        let folder = TempDir::new()?;
        Authority::new("ours")?.certify(&folder.path().join("it"), "localhost")?;
        let file = folder.path().join("headwater.toml");
        let text = format!(
            "[access_log]\nto = \"access.log\"\n\
             [[listener]]\nlisten = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ certificate = \"it.pem\", key = \"it.key\" }}] }}\n\
             [[listener]]\nlisten = \"127.0.0.1:0\"\n\
             [[service]]\nname = \"hello\"\nroute = \"/...\"\ncomponent = {:?}\n\
             [[service]]\nname = \"stream\"\nroute = \"/echo\"\ncomponent = {:?}\n",
            guest("hello")?,
            guest("stream")?
        );
        fs::write(&file, text)?;
        let host = Host::headwater().arg("serve").arg(file).start().await?;
        let addresses = host.addresses(2).await?;
        Ok(Self {
            secure: format!("https://{}/", addresses[0]),
            clear: format!("http://{}/", addresses[1]),
            host,
            folder,
        })
    }

    /// Runs loads of this many requests in both versions, with and without TLS.
    async fn load(&self, h2load: &H2load, requests: &str) -> Result<Vec<Load>> {
        let load = async |version: &str, url: &str| {
            let arguments = ["-n", requests, "-c", "4", version, url];
            h2load.run(&arguments).await
        };
        let (secure, clear) = (&self.secure, &self.clear);
        let (a, b, c, d) = tokio::try_join!(
            load("-m10", secure),
            load("-m10", clear),
            load("--h1", secure),
            load("--h1", clear),
        )?;
        Ok(vec![a, b, c, d])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_host_loads_again() -> Result<()> {
    let Some(h2load) = H2load::find() else {
        return Ok(());
    };
    let site = Site::serve().await?;
    let loads = site.load(&h2load, "3000");
    let mut loads = std::pin::pin!(loads);
    let mut generation = 1;
    let loads = loop {
        site.host.process().hang_up()?;
        generation += 1;
        let loaded = format!("generation={generation}");
        let reload = site
            .host
            .stderr()
            .wait_for(&loaded, |line| line.contains(&loaded));
        let reload = async { reload.await.map(drop) };
        tokio::select! {
            loads = &mut loads => break loads?,
            reloaded = reload => reloaded?,
        }
    };
    ensure!(generation > 3, "it was loaded {generation} times only");
    for load in loads {
        ensure!(
            load.succeeded == 3_000 && load.failed == 0 && load.statuses == [3_000, 0, 0, 0],
            "{}",
            load.said
        );
    }
    Ok(())
}

/// h2load does not reconnect after GOAWAY, and counts unsent requests as failed. Its started
/// requests may be unsent, too, so the host's count decides.
#[tokio::test(flavor = "multi_thread")]
async fn c10_what_was_sent_before_the_end_is_answered() -> Result<()> {
    let Some(h2load) = H2load::find() else {
        return Ok(());
    };
    let mut site = Site::serve().await?;
    let process = site.host.process();
    let clear = site.clear.trim_end_matches('/').to_owned();
    let end = async {
        let own = steady::ask(&clear, "/", 1, Until::Requests(300), |status, _| {
            ensure!(status == 200, "{status}");
            Ok(())
        });
        own.await?;
        process.terminate()
    };
    let (loads, ()) = tokio::try_join!(site.load(&h2load, "10000000"), end)?;
    let status = site.host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    let mut answered = 300;
    for load in loads {
        ensure!(
            0 < load.started && load.started < load.total,
            "{}",
            load.said
        );
        ensure!(load.statuses == [load.succeeded, 0, 0, 0], "{}", load.said);
        // At most the concurrent requests of its connections are unanswered.
        ensure!(load.started - load.succeeded <= 40, "{}", load.said);
        answered += load.succeeded;
    }
    let log = fs::read_to_string(site.folder.path().join("access.log"))?;
    let came = log.lines().count() as u64;
    ensure!(
        came == answered,
        "{came} requests came, {answered} were answered"
    );
    let bad = log
        .lines()
        .find(|line| !line.contains("\"status\":200") || line.contains("\"fault\""));
    ensure!(bad.is_none(), "{bad:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_go_both_ways() -> Result<()> {
    let Some(nghttp) = Program::nghttp() else {
        return Ok(());
    };
    let site = Site::serve().await?;
    let body = site.folder.path().join("body");
    fs::write(&body, "the body")?;
    for url in [&site.secure, &site.clear] {
        let ran = nghttp
            .command()
            .args([
                "--verbose",
                "--no-verify-peer",
                "--trailer",
                "x-sum: 4711",
                "--data",
            ])
            .arg(&body)
            .arg(format!("{url}echo"))
            .output()
            .await?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let sent = said.find("x-sum: 4711").context("no trailer was sent")?;
        ensure!(said.contains("the body"), "{said}");
        let received = said[sent + 1..].contains("x-sum: 4711");
        ensure!(ran.status.success() && received, "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_how_much_it_may_ask_at_once_and_when_to_go() -> Result<()> {
    let Some(nghttp) = Program::nghttp() else {
        return Ok(());
    };
    let held = Upstream::with(Behaviour::Hold).await?;
    let mut host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", &held.url(), "--http2-max-streams", "3"])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    let mut child = nghttp
        .command()
        .args(["--null-out", "--verbose", "--multiply", "10", &url])
        .spawn()?;
    let said = Output::capture(child.stdout.take().context("its output")?);
    // It opens a stream when one is over, and none ends until the upstream answers.
    held.wait_for(3).await?;
    let other = Client::new().get(&format!("{}/none", host.url())).await?;
    ensure!(other.status == 400, "{}", other.status);
    ensure!(
        held.calls().len() == 3,
        "{} were asked at once",
        held.calls().len()
    );

    host.process().terminate()?;
    let drains = |line: &str| line.contains("draining");
    host.stderr()
        .wait_for("a line that says that it drains", drains)
        .await?;
    held.release();
    said.ended().await?;
    let said = said.text();
    ensure!(
        said.contains("[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):3]"),
        "{said}"
    );
    let goaway = said
        .find("recv GOAWAY frame")
        .with_context(|| said.clone())?;
    ensure!(said[goaway..].contains("error_code=NO_ERROR"), "{said}");
    let answers = said.matches(":status: 200").count();
    // Those that were open when the drain began, and those in transit.
    ensure!(
        (3..=10).contains(&answers) && !said.contains(":status: 5"),
        "{said}"
    );
    let status = host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}
