//! The pool against wasmtime-wasi-http's stock dispatch, in one process and without sockets, so that
//! nothing else is in the ratio. `cargo xtask bench` runs it, with the guests built.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_core::{Handler, Limits, RequestId, RequestScope, ScopeParts, SpanContext, empty};
use headwater_egress::{Egress, EgressParams};
use headwater_runtime::measure::StockService;
use headwater_runtime::{ComponentService, ComponentSettings, Engine, PoolOverrides};
use headwater_telemetry::Metrics;
use http::Request;
use http_body_util::BodyExt;

/// Requests at once.
const CONCURRENT: usize = 32;
/// Requests of a round, for each of the concurrent.
const REQUESTS: usize = 1_000;
/// Rounds of each, in turn; the median counts.
const ROUNDS: usize = 9;
/// The least speed of the pool, as a share of the stock dispatch's.
const LEAST: f64 = 1.0;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let guests = std::env::var_os("HEADWATER_COMPONENTS")
        .context("HEADWATER_COMPONENTS is not set; run this by `cargo xtask bench`")?;
    let hello = std::path::Path::new(&guests).join("hello.wasm");
    let binary = std::fs::read(&hello).with_context(|| {
        format!(
            "cannot read {}; run `cargo xtask components`",
            hello.display()
        )
    })?;

    let engine = Engine::new()?;
    let stock: Arc<dyn Handler> =
        Arc::new(StockService::load(&engine, &binary, &Limits::default())?);
    let mut contestants = vec![Contestant::new("stock ProxyHandler", stock)];
    for (name, spread) in [
        ("pool, spread over the threads", None),
        ("pool, newest first", Some(1)),
        ("pool, least loaded of all", Some(usize::MAX)),
    ] {
        contestants.push(Contestant::new(name, load(&engine, &binary, spread)?));
    }

    println!(
        "dispatch: {ROUNDS} rounds of {} requests, {CONCURRENT} at once, in turn",
        CONCURRENT * REQUESTS
    );
    for contestant in &contestants {
        round(&contestant.handler).await?;
    }
    for _ in 0..ROUNDS {
        for contestant in &mut contestants {
            contestant.rounds.push(round(&contestant.handler).await?);
        }
    }
    let stock = contestants[0].median();
    for contestant in &mut contestants {
        let median = contestant.median();
        println!(
            "  {:30} {:6.2} µs per request, {:4.2} of stock's speed",
            contestant.name,
            median.as_secs_f64() * 1e6 / (CONCURRENT * REQUESTS) as f64,
            stock.as_secs_f64() / median.as_secs_f64()
        );
    }
    let ratio = stock.as_secs_f64() / contestants[1].median().as_secs_f64();
    println!("  target: the pool is at least {LEAST:.2} times as fast as stock: {ratio:.2}");
    let asserted = std::env::args().any(|argument| argument == "--assert");
    Ok(if asserted && ratio < LEAST {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// One way to dispatch.
struct Contestant {
    name: &'static str,
    handler: Arc<dyn Handler>,
    rounds: Vec<Duration>,
}

impl Contestant {
    fn new(name: &'static str, handler: Arc<dyn Handler>) -> Self {
        Self {
            name,
            handler,
            rounds: Vec::new(),
        }
    }

    fn median(&mut self) -> Duration {
        self.rounds.sort();
        self.rounds[self.rounds.len() / 2]
    }
}

fn load(engine: &Engine, binary: &[u8], spread: Option<usize>) -> Result<Arc<dyn Handler>> {
    Ok(Arc::new(ComponentService::load(
        engine,
        binary,
        Egress::new(EgressParams::new("bench")),
        ComponentSettings {
            service: "bench".into(),
            environment: Vec::new(),
            directories: Vec::new(),
            limits: Limits::default(),
            pool: PoolOverrides {
                spread,
                ..PoolOverrides::default()
            },
            metrics: Metrics::default(),
        },
    )?))
}

/// The time that a round takes.
async fn round(handler: &Arc<dyn Handler>) -> Result<Duration> {
    let started = Instant::now();
    let clients: Vec<_> = (0..CONCURRENT)
        .map(|_| tokio::spawn(client(handler.clone())))
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(started.elapsed())
}

async fn client(handler: Arc<dyn Handler>) -> Result<()> {
    for _ in 0..REQUESTS {
        let request = Request::get("http://localhost/").body(empty())?;
        let response = handler.handle(request, scope()).await?;
        ensure!(response.status() == 200, "{}", response.status());
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        ensure!(!body.to_bytes().is_empty());
    }
    Ok(())
}

fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "bench".into(),
        route: "/...".into(),
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}
