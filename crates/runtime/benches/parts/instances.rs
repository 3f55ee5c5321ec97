//! The overhead of a request in a warm instance over wasmtime's own call, and the cost of a new
//! instance. CPU time of a single thread.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use headwater_core::Handler;
use headwater_runtime::{Engine, PoolOverrides};
use rustix::time::ClockId;

use crate::bare::{BareInstance, BareService};
use crate::hello;
use crate::rounds::{Rounds, cpu, verdict};

/// Rounds of each, alternating; the medians count.
const ROUNDS: usize = 15;
const CALLS: usize = 16_000;
const CONCURRENT: usize = 32;
/// New instances in a round, and requests to fresh ones.
const INSTANCES: usize = 2_000;

/// The maximum overhead of a warm dispatch over wasmtime's call, in µs.
const MOST_DISPATCH: f64 = 1.5;
/// The maximum cost of an instance from its start to its end, in µs.
const MOST_INSTANCE: f64 = 70.0;

pub(crate) async fn measure() -> Result<bool> {
    let engine = Engine::new()?;
    let binary = hello::binary()?;
    let bare = BareService::load(&engine, &binary)?;
    let warm = hello::pool(&engine, &binary, PoolOverrides::default())?;
    let fresh = hello::pool(
        &engine,
        &binary,
        PoolOverrides {
            max_requests_per_instance: Some(1..=1),
            ..PoolOverrides::default()
        },
    )?;

    let dispatch = dispatch(&bare, &warm).await?;
    let instance = instance(&bare, &warm, &fresh).await?;
    Ok(dispatch && instance)
}

async fn dispatch(bare: &BareService, pool: &Arc<dyn Handler>) -> Result<bool> {
    println!(
        "dispatch in a warm instance: {ROUNDS} rounds of {CALLS} requests, in turn, by CPU time"
    );
    let mut instance = bare.start().await?;
    let mut worst = 0.0_f64;
    for concurrent in [1, CONCURRENT] {
        let mut plain = Rounds::new("wasmtime's own call");
        let mut pooled = Rounds::new("the same by the pool");
        for round in 0..=ROUNDS {
            let calls = bare_calls(&mut instance, concurrent).await?;
            let requests = pooled_calls(pool, concurrent).await?;
            // The first is a warm-up.
            if round > 0 {
                plain.push(calls);
                pooled.push(requests);
            }
        }
        for rounds in [&plain, &pooled] {
            println!(
                "  {:24} {:6.2} µs per request, {concurrent} at once",
                rounds.name,
                rounds.median() / CALLS as f64
            );
        }
        let added = pooled.beside(&plain, |pooled, plain| pooled - plain) * 1e6 / CALLS as f64;
        println!("  {:24} {added:6.2} µs", "the difference");
        worst = worst.max(added);
    }
    let met = worst < MOST_DISPATCH;
    println!(
        "  target: a dispatch under {MOST_DISPATCH} µs: {worst:.2}, {}",
        verdict(met)
    );
    Ok(met)
}

async fn instance(
    bare: &BareService,
    warm: &Arc<dyn Handler>,
    fresh: &Arc<dyn Handler>,
) -> Result<bool> {
    println!("a new instance: {ROUNDS} rounds of {INSTANCES}, in turn, by CPU time");
    let mut alone = Rounds::new("started and disposed of");
    let mut called = Rounds::new("the same, with one call");
    let mut in_warm = Rounds::new("a request, warm");
    let mut in_fresh = Rounds::new("a request, fresh instance");
    for round in 0..=ROUNDS {
        let rounds = [
            (&mut alone, start_and_drop(bare).await?),
            (&mut called, start_call_and_drop(bare).await?),
            (&mut in_warm, one_by_one(warm).await?),
            (&mut in_fresh, one_by_one(fresh).await?),
        ];
        // The first is a warm-up.
        if round > 0 {
            for (rounds, time) in rounds {
                rounds.push(time);
            }
        }
    }
    for rounds in [&alone, &called, &in_warm, &in_fresh] {
        println!(
            "  {:26} {:6.2} µs",
            rounds.name,
            rounds.median() / INSTANCES as f64
        );
    }
    let cost = alone.median() / INSTANCES as f64;
    let met = cost < MOST_INSTANCE;
    println!(
        "  target: an instance, start to end, under {MOST_INSTANCE} µs: {cost:.2}, {}",
        verdict(met)
    );
    Ok(met)
}

async fn bare_calls(instance: &mut BareInstance, concurrent: usize) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    instance.call(concurrent, CALLS / concurrent).await?;
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

async fn pooled_calls(pool: &Arc<dyn Handler>, concurrent: usize) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    hello::clients(pool, concurrent, CALLS / concurrent).await?;
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

async fn start_and_drop(bare: &BareService) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    for _ in 0..INSTANCES {
        drop(bare.start().await?);
    }
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

async fn start_call_and_drop(bare: &BareService) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    for _ in 0..INSTANCES {
        bare.start().await?.call(1, 1).await?;
    }
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

async fn one_by_one(pool: &Arc<dyn Handler>) -> Result<Duration> {
    let before = cpu(ClockId::ThreadCPUTime);
    hello::requests(pool.clone(), INSTANCES).await?;
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}
