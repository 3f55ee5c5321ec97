//! Promise: the share of one request or one service is limited, so that others have theirs; and a
//! request that failed with its neighbour may be retried.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::instances::{self, Instances};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::upstream::{Behaviour, Upstream};
use headwater_tests::{Answer, Client, Host, client};
use http::Request;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_computes_beyond_its_cpu_time_is_a_500_long_before_its_deadline()
-> Result<()> {
    let services = Services::start(&[], &["--max-cpu-time", "50ms"]).await?;
    let (spin, others) = futures::try_join!(
        services.get("/spin"),
        try_join_all((0..20).map(|_| services.get("/hello"))),
    )?;
    ensure!(spin.status == 500, "{spin:?}");
    let id = spin.request_id();
    let line = services.log_line("the reason", |line| {
        line.contains(id) && line.contains("max_cpu_time (50 ms)")
    });
    ensure!(line.await?.contains("cpu_time"), "named as such");
    ensure!(others.iter().all(|answer| answer.status == 200));
    services.faulty.wait_gone(1).await?;
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_is_not_cpu_time() -> Result<()> {
    let services = Services::start(&[], &["--max-cpu-time", "250ms"]).await?;
    let answers = try_join_all((0..8).map(|_| services.get("/slow?ms=600"))).await?;
    for answer in answers {
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_outgoing_request_than_an_instance_may_have_open_fails_with_the_limits_own_error()
-> Result<()> {
    let upstream = Upstream::with(Behaviour::Hold).await?;
    let arguments = ["--max-outgoing-per-instance", "3"];
    let services = Services::start(&[&upstream.url()], &arguments).await?;
    let path = format!("/fanout?to={}&k=4&wait=0", upstream.url());
    let answer = services.get(&path).await?;
    ensure!(answer.status == 502, "{answer:?}");
    ensure!(
        answer.text().contains("ConnectionLimitReached"),
        "{}",
        answer.text()
    );
    services
        .log_line("the setting", |line| {
            line.contains("--max-outgoing-per-instance")
        })
        .await?;
    upstream.release();
    let path = format!("/fanout?to={}&k=3&wait=0", upstream.url());
    let answer = services.get(&path).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_instance_gives_its_place_to_another_service() -> Result<()> {
    let arguments = ["--places", "4", "--max-concurrent-per-instance", "1"];
    let services = Services::start(&[], &arguments).await?;
    try_join_all((0..4).map(|_| services.get("/held-slow?ms=300"))).await?;
    services.faulty.wait_started(4).await?;
    ensure!(services.get("/hello").await?.status == 200);
    services.faulty.wait_retired(1, "evicted").await?;
    // A module gets one too, and has none of its own to wait for.
    try_join_all((0..4).map(|_| services.get("/held-slow?ms=300"))).await?;
    ensure!(services.get("/cgi").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_neighbour_trapped_is_tried_once_more_where_that_is_asked_for() -> Result<()>
{
    let services = Services::start(&[], &["--retry", "--max-instances", "1"]).await?;
    let (slow, trap) = futures::try_join!(services.get("/slow?ms=2000"), async {
        // The first of them is running by then.
        services.faulty.wait_started(1).await?;
        // With a body, so that it is not retried: it would meet the other in its new instance.
        services.send("/trap", client::full("x")).await
    })?;
    ensure!(slow.status == 200, "{slow:?}");
    ensure!(trap.status == 500, "{trap:?}");
    let id = slow.request_id();
    services
        .log_line("the second try", |line| {
            line.contains("tried once more") && line.contains(id)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_makes_its_instance_fail_is_tried_twice_and_no_more() -> Result<()> {
    let services = Services::start(&[], &["--retry"]).await?;
    ensure!(services.get("/trap").await?.status == 500);
    services.faulty.wait_gone(2).await?;
    services.faulty.wait_started(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_or_an_outgoing_request_is_never_tried_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    let services = Services::start(&[&upstream.url()], &["--retry"]).await?;
    let path = format!("/trap?to={}", upstream.url());
    ensure!(services.get(&path).await?.status == 500);
    services.faulty.wait_gone(1).await?;
    ensure!(upstream.calls().len() == 1, "{:?}", upstream.calls());

    ensure!(services.send("/trap", client::full("x")).await?.status == 500);
    services.faulty.wait_gone(2).await?;
    services.faulty.wait_started(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_tried_again_unless_that_is_asked_for() -> Result<()> {
    let services = Services::start(&[], &[]).await?;
    ensure!(services.get("/trap").await?.status == 500);
    services.faulty.wait_gone(1).await?;
    services.faulty.wait_started(1).await
}

/// Starts a host with `faulty`, and with `hello`, `fanout` and a module beside it.
struct Services {
    host: Host,
    faulty: Instances,
    _settings: SettingsFile,
}

impl Services {
    async fn start(allow: &[&str], arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default()
            .component("faulty", "/...", allow)?
            .component("hello", "/hello", &[])?
            .component("fanout", "/fanout", allow)?
            .module("wagi-wat", "/cgi")?
            .write()?;
        let host = Host::serve(settings.path())
            .args(["--log", instances::LOG])
            .args(arguments)
            .start()
            .await?;
        Ok(Self {
            faulty: Instances::of("faulty", host.stderr()),
            host,
            _settings: settings,
        })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let answer = Client::new()
            .get(&format!("{}{path}", self.host.url()))
            .await;
        answer.with_context(|| format!("the log:\n{}", self.host.stderr().text()))
    }

    async fn send(&self, path: &str, body: client::Body) -> Result<Answer> {
        let request = Request::get(format!("{}{path}", self.host.url())).body(body)?;
        Client::new().send(request).await
    }

    async fn log_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.host.stderr().wait_for(what, wanted).await
    }
}
