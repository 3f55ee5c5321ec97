//! The pool against wasmtime-wasi-http's stock dispatch, in one process and without sockets, so that
//! nothing else is in the ratio. `cargo xtask bench` runs it, with the guests built.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod hello;
mod rounds;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use headwater_core::{Handler, Limits};
use headwater_runtime::measure::StockService;
use headwater_runtime::{Engine, PoolOverrides};

use crate::rounds::{Rounds, asserted, micros, verdict};

/// As in the binary, so that what users run is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let engine = Engine::new()?;
    let binary = hello::binary()?;
    let stock: Arc<dyn Handler> =
        Arc::new(StockService::load(&engine, &binary, &Limits::default())?);
    let mut contestants = vec![(Rounds::new("stock ProxyHandler"), stock)];
    for (name, spread) in [
        ("pool, spread over the threads", None),
        ("pool, newest first", Some(1)),
        ("pool, least loaded of all", Some(usize::MAX)),
    ] {
        let settings = PoolOverrides {
            spread,
            ..PoolOverrides::default()
        };
        contestants.push((Rounds::new(name), hello::pool(&engine, &binary, settings)?));
    }

    println!(
        "dispatch: {ROUNDS} rounds of {} requests, {CONCURRENT} at once, in turn",
        CONCURRENT * REQUESTS
    );
    for round in 0..=ROUNDS {
        for (rounds, handler) in &mut contestants {
            let started = Instant::now();
            hello::clients(handler, CONCURRENT, REQUESTS).await?;
            // The first warms up.
            if round > 0 {
                rounds.push(started.elapsed());
            }
        }
    }
    let speed = |rounds: &Rounds| ratio(contestants[0].0.median(), rounds.median());
    for (rounds, _) in &contestants {
        println!(
            "  {:30} {:6.2} µs per request, {:4.2} of stock's speed",
            rounds.name,
            micros(rounds.median()) / (CONCURRENT * REQUESTS) as f64,
            speed(rounds)
        );
    }
    let speed = speed(&contestants[1].0);
    let met = speed >= LEAST;
    println!(
        "  target: the pool is at least {LEAST:.2} times as fast as stock: {speed:.2}, {}",
        verdict(met)
    );
    Ok(if asserted() && !met {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
