//! The pool compared with wasmtime-wasi-http's stock dispatch, and nothing else in the ratio.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use headwater_core::Handler;
use headwater_runtime::{Engine, PoolOverrides};
use rustix::time::ClockId;

use crate::hello;
use crate::rounds::{Rounds, cpu, verdict};
use crate::stock::StockService;

const CONCURRENT: usize = 32;
/// Requests of each concurrent client in a round.
const REQUESTS: usize = 1_000;
/// Rounds of each, alternating; the median counts.
const ROUNDS: usize = 15;
/// The minimum speed of the pool, as a share of the stock dispatch's.
const LEAST: f64 = 1.0;

pub(crate) async fn measure() -> Result<bool> {
    let engine = Engine::new()?;
    let binary = hello::binary()?;
    let stock: Arc<dyn Handler> = Arc::new(StockService::load(&engine, &binary)?);
    let mut contestants = vec![Contestant::new("stock ProxyHandler", stock)];
    for (name, spread) in [
        ("pool, spread over the threads", None),
        ("pool, newest first", Some(1)),
        ("pool, least loaded of all", Some(usize::MAX)),
    ] {
        let settings = PoolOverrides {
            spread,
            ..PoolOverrides::default()
        };
        let handler = hello::pool(&engine, &binary, settings)?;
        contestants.push(Contestant::new(name, handler));
    }

    println!(
        "dispatch: {ROUNDS} rounds of {} requests, {CONCURRENT} at once, in turn",
        CONCURRENT * REQUESTS
    );
    for round in 0..=ROUNDS {
        for Contestant {
            handler,
            elapsed,
            computed,
        } in &mut contestants
        {
            let (started, before) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
            hello::clients(handler, CONCURRENT, REQUESTS).await?;
            // The first is a warm-up.
            if round > 0 {
                elapsed.push(started.elapsed());
                computed.push(cpu(ClockId::ProcessCPUTime) - before);
            }
        }
    }
    let stock = &contestants[0];
    let speed = |of: &Rounds, stock: &Rounds| of.beside(stock, |of, stock| stock / of);
    for one in &contestants {
        println!(
            "  {:30} {:6.2} µs per request, {:4.2} of stock's speed; {:6.2} µs of CPU, {:4.2}",
            one.elapsed.name,
            one.elapsed.median() / (CONCURRENT * REQUESTS) as f64,
            speed(&one.elapsed, &stock.elapsed),
            one.computed.median() / (CONCURRENT * REQUESTS) as f64,
            speed(&one.computed, &stock.computed),
        );
    }
    let speed = speed(&contestants[1].elapsed, &stock.elapsed);
    let met = speed >= LEAST;
    println!(
        "  target: the pool is at least {LEAST:.2} times as fast as stock: {speed:.2}, {}",
        verdict(met)
    );
    Ok(met)
}

struct Contestant {
    handler: Arc<dyn Handler>,
    elapsed: Rounds,
    /// CPU time of the whole process.
    computed: Rounds,
}

impl Contestant {
    fn new(name: &'static str, handler: Arc<dyn Handler>) -> Self {
        Self {
            handler,
            elapsed: Rounds::new(name),
            computed: Rounds::new(name),
        }
    }
}
