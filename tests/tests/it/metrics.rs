//! Promise: metrics show the host's work at a collector, and are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use headwater_tests::collector::Collector;
use headwater_tests::metrics::Metrics;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Answer, Client, Host, Upstream, crafted, load};

const DOCUMENTATION: &str = include_str!("../../../docs/reference/metrics.md");

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_served_wait_and_are_refused_show_over_http() -> Result<()> {
    requests_show_by("http/protobuf").await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_served_wait_and_are_refused_show_over_grpc() -> Result<()> {
    requests_show_by("grpc").await
}

async fn requests_show_by(protocol: &str) -> Result<()> {
    const FANOUT: (&str, &str) = ("headwater.service", "fanout");
    let upstream = Upstream::with(Behaviour::Hold).await?;
    let settings = Settings::default()
        .component("fanout", "/...", &[&upstream.url()])?
        .text("max_instances = 1\nmax_concurrent_per_instance = 1\nmax_queue = 1\n")
        .text("queue_timeout = \"600s\"\ntimeout = \"600s\"\n");
    let observed = Observed::start(settings, &[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]).await?;
    let path = format!("/?to={}&k=1&wait=0", upstream.url());

    let inside = observed.request(&path);
    upstream.wait_for(1).await?;
    let mut waiting: FuturesUnordered<_> = (0..2).map(|_| observed.request(&path)).collect();
    let refused = waiting.next().await.context("no answer")???;
    ensure!(refused.is_refusal(), "{refused:?}");

    let is = |metrics: &Metrics, name: &str, also: &[(&str, &str)], value: f64| {
        metrics.total(name, &[&[FANOUT], also].concat()) == Some(value)
    };
    observed
        .wait_for("a request inside and one that waits", |metrics| {
            is(metrics, "headwater.pool.request.active", &[], 1.0)
                && is(metrics, "headwater.pool.queue.length", &[], 1.0)
                && is(metrics, "headwater.pool.queue.limit", &[], 1.0)
                && is(metrics, "headwater.pool.instance.limit", &[], 1.0)
                && is(metrics, "headwater.pool.instance.started", &[], 1.0)
                && is(
                    metrics,
                    INSTANCES,
                    &[("headwater.instance.state", "active")],
                    1.0,
                )
                && is(
                    metrics,
                    INSTANCES,
                    &[("headwater.instance.state", "idle")],
                    0.0,
                )
                && is(metrics, REFUSED, &[("headwater.cause", "queue_full")], 1.0)
                && is(
                    metrics,
                    REFUSED,
                    &[("headwater.cause", "circuit_open")],
                    0.0,
                )
                && is(
                    metrics,
                    CIRCUIT,
                    &[("headwater.circuit.state", "closed")],
                    1.0,
                )
                && is(
                    metrics,
                    CIRCUIT,
                    &[("headwater.circuit.state", "open")],
                    0.0,
                )
                && is(metrics, "http.server.active_requests", &[], 2.0)
        })
        .await?;

    upstream.release();
    ensure!(inside.await??.status == 200);
    while let Some(answer) = waiting.next().await {
        ensure!(answer??.status == 200);
    }
    let ok = [("http.response.status_code", "200"), ("http.route", "/...")];
    let overload = [
        ("http.response.status_code", "503"),
        ("error.type", "queue_full"),
    ];
    let exact = [
        ("headwater.attribution", "exact"),
        ("headwater.attribution.witness", "stack"),
    ];
    let metrics = observed
        .wait_for("all is over", |metrics| {
            is(metrics, "headwater.pool.request.active", &[], 0.0)
                && is(metrics, "headwater.pool.queue.length", &[], 0.0)
                && is(metrics, "http.server.active_requests", &[], 0.0)
                && is(
                    metrics,
                    INSTANCES,
                    &[("headwater.instance.state", "idle")],
                    1.0,
                )
                && is(metrics, DURATION, &ok, 2.0)
                && is(metrics, DURATION, &overload, 1.0)
                && is(metrics, CALLS, &exact, 2.0)
        })
        .await?;
    let waits = metrics.total("headwater.pool.queue.wait", &[FANOUT]);
    // One waited for the other's end, and one perhaps for its instance's start.
    ensure!(waits >= Some(1.0), "{waits:?}");
    let duration = metrics.sum(DURATION, &ok).context("no duration")?;
    let wait = metrics.sum("headwater.pool.queue.wait", &[FANOUT]);
    let wait = wait.context("no wait")?;
    ensure!(0.0 < wait && wait < duration, "{wait} of {duration}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_service_verdict_and_witness() -> Result<()> {
    let upstream = Upstream::start().await?;
    let settings = Settings::default()
        .component("fanout", "/fanout", &[&upstream.url()])?
        .component("outgoing-p2", "/p2", &[&upstream.url()])?;
    let observed = Observed::start(settings, &[]).await?;
    for path in ["/fanout", "/p2"] {
        let query = format!("{path}?to={}&k=3&wait=0", upstream.url());
        ensure!(observed.get(&query).await?.status == 200);
    }
    observed
        .wait_for("three calls of each", |metrics| {
            [("fanout", "stack"), ("outgoing-p2", "sole")]
                .iter()
                .all(|(service, witness)| {
                    let counted = [
                        ("headwater.service", *service),
                        ("headwater.attribution", "exact"),
                        ("headwater.attribution.witness", *witness),
                    ];
                    metrics.total(CALLS, &counted) == Some(3.0)
                        && metrics.total(CALLS, &[("headwater.service", *service)]) == Some(3.0)
                })
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn outgoing_requests_of_modules_are_counted_as_those_of_components_are() -> Result<()> {
    let upstream = Upstream::start().await?;
    let settings = Settings::default()
        .module("wagi-outgoing", "/...")?
        .text(&format!("allow_outgoing = [\"{}\"]\n", upstream.url()));
    let observed = Observed::start(settings, &[]).await?;
    let allowed = format!("/?to={}&k=2", upstream.url());
    ensure!(observed.get(&allowed).await?.status == 200);
    ensure!(observed.get("/?to=http://a.example&k=1").await?.status == 502);
    let service = ("headwater.service", "wagi-outgoing");
    observed
        .wait_for("three requests of a module", |metrics| {
            let denied = [service, ("headwater.cause", "denied")];
            metrics.total(CALLS, &[service]) == Some(3.0)
                && metrics.total("headwater.egress.connection.used", &[service]) == Some(2.0)
                && metrics.total("headwater.egress.request.refused", &denied) == Some(1.0)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_end_are_counted_by_cause() -> Result<()> {
    let settings = Settings::default()
        .component_as("served", "hello", "/served", &[])?
        .text("max_requests_per_instance = 1\n")
        .component_as("idle", "hello", "/idle", &[])?
        .text("idle_timeout = \"100ms\"\n")
        .component_as("faulty", "faulty", "/...", &[])?
        .text("timeout = \"1s\"\n");
    let observed = Observed::start(settings, &[]).await?;
    ensure!(observed.get("/served").await?.status == 200);
    ensure!(observed.get("/idle").await?.status == 200);
    ensure!(observed.get("/never").await?.status == 504);
    ensure!(observed.get("/trap").await?.status == 500);
    let metrics = observed
        .wait_for("each cause, once", |metrics| {
            let count = |name: &str, service: &str, cause: &str| {
                metrics.total(
                    name,
                    &[("headwater.service", service), ("headwater.cause", cause)],
                )
            };
            let retired = "headwater.pool.instance.retired";
            count(retired, "served", "served") == Some(1.0)
                && count(retired, "idle", "idle") == Some(1.0)
                && count(retired, "faulty", "deadline") == Some(1.0)
                && count("headwater.pool.instance.failed", "faulty", "run") >= Some(1.0)
        })
        .await?;
    let late = [
        ("error.type", "deadline"),
        ("http.response.status_code", "504"),
    ];
    ensure!(metrics.total(DURATION, &late) == Some(1.0), "{metrics:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_under_backpressure_is_counted_while_it_lasts_and_after() -> Result<()> {
    const TIME: &str = "headwater.pool.backpressure.time";
    let settings = Settings::default()
        .component("backpressure", "/backpressure", &[])?
        .component("faulty", "/...", &[])?;
    let observed = Observed::start(settings, &[]).await?;
    let url = format!("{}/backpressure?wait=20", observed.host.url());
    let sent = load::tagged("b", 1, 5, &url).await?;
    ensure!(sent.answers.iter().all(|(_, answer)| answer.status == 200));
    ensure!(observed.get("/hold-and-leave").await?.status == 200);

    let time = |metrics: &Metrics, service| metrics.total(TIME, &[("headwater.service", service)]);
    let metrics = observed
        .wait_for(
            "five times 20 ms, and an instance that is held",
            |metrics| {
                let held = [("headwater.service", "faulty")];
                // The guest's clock is the host's.
                time(metrics, "backpressure") >= Some(0.1)
                    && metrics.total("headwater.pool.instance.held", &held) == Some(1.0)
                    && time(metrics, "faulty") > Some(0.0)
            },
        )
        .await?;
    let (before, over) = (time(&metrics, "faulty"), time(&metrics, "backpressure"));
    let metrics = observed
        .wait_for("the time of the one that is held goes on", |metrics| {
            time(metrics, "faulty") > before
        })
        .await?;
    ensure!(time(&metrics, "backpressure") == over, "nobody holds it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_start_shows_its_open_circuit() -> Result<()> {
    let [doomed, _] = crafted::that_start_with(crafted::TRAP);
    let settings = Settings::default()
        .crafted("doomed", "/doomed", doomed)
        .component("hello", "/...", &[])?;
    let observed = Observed::start(settings, &[]).await?;
    let mut answer = observed.get("/doomed").await?;
    while !answer.is_refusal() {
        ensure!(answer.status == 500, "{answer:?}");
        answer = observed.get("/doomed").await?;
    }
    observed
        .wait_for("an open circuit, of this service only", |metrics| {
            let of = |service: &str, name: &str, key: &str, value: &str| {
                metrics.total(name, &[("headwater.service", service), (key, value)])
            };
            let circuit = |service, state| of(service, CIRCUIT, "headwater.circuit.state", state);
            circuit("doomed", "open") == Some(1.0)
                && circuit("doomed", "closed") == Some(0.0)
                && circuit("hello", "closed") == Some(1.0)
                && of("doomed", REFUSED, "headwater.cause", "circuit_open") == Some(1.0)
                && of(
                    "doomed",
                    "headwater.pool.instance.failed",
                    "headwater.cause",
                    "start",
                ) >= Some(3.0)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_numbers_are_exported_at_the_end() -> Result<()> {
    let settings = Settings::default().component("hello", "/...", &[])?;
    let hour = [("OTEL_METRIC_EXPORT_INTERVAL", "3600000")];
    let mut observed = Observed::start(settings, &hour).await?;
    ensure!(observed.get("/").await?.status == 200);
    ensure!(observed.host.stop().await?.success());
    observed
        .wait_for("what was done until the end", |metrics| {
            metrics.total(DURATION, &[]) == Some(1.0)
                && metrics.total("headwater.pool.instance.started", &[]) == Some(1.0)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_out_without_metrics_and_metrics_without_traces() -> Result<()> {
    for (off, metrics, spans) in [
        ("OTEL_METRICS_EXPORTER", false, true),
        ("OTEL_TRACES_EXPORTER", true, false),
    ] {
        let settings = Settings::default().component("hello", "/...", &[])?;
        let mut observed = Observed::start(settings, &[(off, "none")]).await?;
        ensure!(observed.get("/").await?.status == 200);
        // Nothing arrives after the end.
        ensure!(observed.host.stop().await?.success());
        ensure!(observed.collector.has_metrics() == metrics, "with {off}");
        ensure!(observed.collector.has_spans() == spans, "with {off}");
    }
    Ok(())
}

const CALLS: &str = "headwater.attribution.calls";
const CIRCUIT: &str = "headwater.circuit.state";
const DURATION: &str = "http.server.request.duration";
const INSTANCES: &str = "headwater.pool.instance.alive";
const REFUSED: &str = "headwater.pool.request.refused";

/// Starts a host that exports its metrics often.
struct Observed {
    host: Host,
    collector: Collector,
    _settings: SettingsFile,
}

impl Observed {
    async fn start(settings: Settings, environment: &[(&str, &str)]) -> Result<Self> {
        let collector = Collector::start().await?;
        let settings = settings.write()?;
        let mut host = Host::serve(settings.path())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_METRIC_EXPORT_INTERVAL", "50");
        for (key, value) in environment {
            host = host.env(key, value);
        }
        Ok(Self {
            host: host.start().await?,
            collector,
            _settings: settings,
        })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let answer = self.request(path).await?;
        answer.with_context(|| format!("the log:\n{}", self.host.stderr().text()))
    }

    fn request(&self, path: &str) -> tokio::task::JoinHandle<Result<Answer>> {
        let url = format!("{}{path}", self.host.url());
        tokio::spawn(async move { Client::new().get(&url).await })
    }

    /// Returns the metrics once `wanted` accepts them. All of them must be documented.
    async fn wait_for(&self, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let undocumented = Mutex::new(BTreeSet::new());
        let metrics = self
            .collector
            .wait_for_metrics(what, |metrics| {
                if let Ok(mut all) = undocumented.lock() {
                    all.extend(undocumented_in(metrics));
                }
                wanted(metrics)
            })
            .await?;
        let undocumented = undocumented.into_inner()?;
        ensure!(
            undocumented.is_empty(),
            "not in the table: {undocumented:?}"
        );
        Ok(metrics)
    }
}

/// Returns metrics and attributes that docs/reference/metrics.md does not name.
fn undocumented_in(metrics: &Metrics) -> BTreeSet<String> {
    let documented = documented();
    let mut missing = BTreeSet::new();
    for (name, series) in metrics.iter() {
        let Some(known) = documented.get(name) else {
            missing.insert(name.to_owned());
            continue;
        };
        for key in series.keys().flat_map(BTreeMap::keys) {
            if key != "headwater.service" && !known.contains(key.as_str()) {
                missing.insert(format!("{name}: {key}"));
            }
        }
    }
    missing
}

/// Returns the attributes of each metric in the documentation.
fn documented() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let table = DOCUMENTATION.split("## All of them").nth(1);
    let rows = table.unwrap_or_default().lines();
    let rows = rows.filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next()?.trim_matches('`');
        let attributes = cells.nth(2)?.split(", ");
        let attributes = attributes.map(|attribute| attribute.trim_matches('`'));
        Some((name, attributes.collect()))
    })
    .collect()
}
