//! Promise: outgoing requests observe their timeouts and limits, name the one by which they failed,
//! and show in traces and metrics.

use anyhow::{Context, Result, ensure};
use headwater_tests::collector::Collector;
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;
use headwater_tests::trace_file::{Span, TraceFile};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Answer, Client, Host, Upstream};
use tempfile::TempDir;

/// A host of the guest `fanout` that writes its spans.
struct Traced {
    host: Host,
    folder: TempDir,
}

impl Traced {
    async fn start(upstream: &Upstream, arguments: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let host = Host::serve(guest("fanout")?)
            .args(["--allow-outgoing", &upstream.url()])
            .args(arguments)
            .arg("--trace-file")
            .arg(folder.path().join("trace.jsonl"))
            .start()
            .await?;
        Ok(Self { host, folder })
    }

    /// Returns the spans of outgoing requests at the end.
    async fn clients(mut self) -> Result<Vec<Span>> {
        self.host.stop().await?;
        let trace = TraceFile::read(self.folder.path().join("trace.jsonl"))?;
        Ok(trace.clients().cloned().collect())
    }
}

async fn call(host: &Host, to: &Upstream, calls: usize) -> Result<Answer> {
    let url = format!("{}/?to={}&k={calls}&wait=0", host.url(), to.url());
    Client::new().get(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_given_up_in_the_time_that_is_set() -> Result<()> {
    for (flag, error, kind) in [
        (
            "--outgoing-first-byte-timeout",
            "ConnectionReadTimeout",
            "first_byte_timeout",
        ),
        (
            "--outgoing-total-timeout",
            "HttpResponseTimeout",
            "total_timeout",
        ),
    ] {
        let held = Upstream::with(Behaviour::Hold).await?;
        let traced = Traced::start(&held, &[flag, "300ms", "--timeout", "600s"]).await?;
        let answer = call(&traced.host, &held, 1).await?;
        ensure!(answer.status == 502, "{answer:?}");
        ensure!(answer.text().contains(error), "{}", answer.text());
        let spans = traced.clients().await?;
        ensure!(spans.len() == 1 && spans[0].attribute("error.type") == Some(kind));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_refuses_with_its_own_name_and_a_span() -> Result<()> {
    for (flag, kind) in [
        ("--max-outgoing-per-instance", "instance_requests"),
        ("--max-outgoing-requests", "service_requests"),
        ("--max-outgoing-requests-in-all", "all_requests"),
        ("--max-outgoing-connections", "service_connections"),
        ("--max-outgoing-connections-in-all", "all_connections"),
    ] {
        let held = Upstream::with(Behaviour::Hold).await?;
        let traced = Traced::start(&held, &[flag, "2"]).await?;
        let answer = call(&traced.host, &held, 3).await?;
        ensure!(answer.status == 502, "{flag}: {answer:?}");
        ensure!(
            answer.text().contains("ConnectionLimitReached"),
            "{flag}: {}",
            answer.text()
        );
        let spans = traced.clients().await?;
        let refused = spans
            .iter()
            .filter(|span| span.attribute("error.type") == Some(kind))
            .count();
        ensure!(spans.len() == 3 && refused == 1, "{flag}: {spans:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_instead_of_a_refusal_is_served_in_the_end() -> Result<()> {
    let upstream = Upstream::start().await?;
    let limited = ["--max-outgoing-connections", "1", "--outgoing-limit-wait"];
    let arguments = [limited.as_slice(), &["60s"]].concat();
    let traced = Traced::start(&upstream, &arguments).await?;
    let answer = call(&traced.host, &upstream, 20).await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(upstream.calls().len() == 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_the_peer_the_protocol_and_whether_the_connection_was_reused() -> Result<()> {
    let upstream = Upstream::start().await?;
    let traced = Traced::start(&upstream, &[]).await?;
    for _ in 0..2 {
        ensure!(call(&traced.host, &upstream, 1).await?.status == 200);
    }
    let port = upstream.url();
    let port = port.rsplit(':').next().context("a port")?;
    let spans = traced.clients().await?;
    let mut reused: Vec<_> = spans
        .iter()
        .map(|span| span.attribute("headwater.connection.reused"))
        .collect();
    reused.sort_unstable();
    ensure!(reused == [Some("false"), Some("true")], "{spans:#?}");
    for span in &spans {
        for (key, value) in [
            ("server.address", "127.0.0.1"),
            ("server.port", port),
            ("network.peer.address", "127.0.0.1"),
            ("network.peer.port", port),
            ("network.protocol.name", "http"),
            ("network.protocol.version", "1.1"),
        ] {
            ensure!(span.attribute(key) == Some(value), "{key}: {span:#?}");
        }
        ensure!(span.attribute("http.request.resend_count").is_none());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_s_own_settings_hold_for_it_alone_and_metrics_tell_them_apart() -> Result<()> {
    let upstream = Upstream::start().await?;
    let url = upstream.url();
    let settings = Settings::default()
        .component_as("small", "fanout", "/small", &[&url])?
        .text("[service.outgoing]\nmax_response_body = \"3B\"\nidle_timeout = \"100ms\"\n")
        .component_as("none", "fanout", "/none", &[])?
        .component_as("usual", "fanout", "/usual", &[&url])?
        .write()?;
    let collector = Collector::start().await?;
    let host = Host::serve(settings.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "50")
        .start()
        .await?;
    let get = async |service: &str| {
        let path = format!("{}/{service}?to={url}&k=1&wait=0", host.url());
        Client::new().get(&path).await
    };
    let small = get("small").await?;
    ensure!(
        small.status == 502 && small.text().contains("HttpResponseBodySize"),
        "{small:?}"
    );
    ensure!(get("none").await?.status == 502);
    for _ in 0..2 {
        ensure!(get("usual").await?.status == 200);
    }
    let of = |service| ("headwater.service", service);
    collector
        .wait_for_metrics("what each service did", |metrics| {
            let duration = "http.client.request.duration";
            let usual = [
                of("usual"),
                ("http.request.method", "GET"),
                ("http.response.status_code", "200"),
                ("server.address", "127.0.0.1"),
                ("network.protocol.version", "1.1"),
                ("url.scheme", "http"),
            ];
            let small = [of("small"), ("error.type", "response_body_size")];
            let denied = [of("none"), ("headwater.cause", "denied")];
            let idle = [of("usual"), ("http.connection.state", "idle")];
            let reused = [of("usual"), ("headwater.connection.reused", "true")];
            metrics.total(duration, &usual) == Some(2.0)
                && metrics.total(duration, &small) == Some(1.0)
                && metrics.total("headwater.egress.request.refused", &denied) == Some(1.0)
                && metrics.total("http.client.open_connections", &idle) == Some(1.0)
                && metrics.total("headwater.egress.connection.used", &reused) == Some(1.0)
                && metrics.total("http.client.connection.duration", &[of("small")]) == Some(1.0)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_makes_no_sense_is_refused_at_the_start() -> Result<()> {
    let settings = Settings::default()
        .component("fanout", "/...", &[])?
        .text("[service.outgoing]\nh2c = [\"https://a.example\"]\n")
        .write()?;
    let finished = Host::serve(settings.path()).run_to_end().await?;
    ensure!(finished.code == Some(1), "{finished:?}");
    ensure!(finished.stderr.contains("outgoing.h2c"), "{finished:?}");
    Ok(())
}
