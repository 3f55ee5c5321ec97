//! What attribution adds to an outgoing call, and its ledger to a composed component's request.

use anyhow::Result;
use headwater_runtime::measure::{attribution_cost, ledger_cost};
use headwater_runtime::{Engine, PoolOverrides};
use rustix::time::ClockId;

use crate::hello;
use crate::rounds::{Rounds, cpu, verdict};

/// Import calls per round.
const CALLS: u32 = 1_000_000;
/// Requests per round to a composed component that does next to nothing, and to one that answers.
const REQUESTS: u32 = 30_000;
/// Of the latter at once.
const CONCURRENT: usize = 16;
/// The median of so many rounds counts.
const ROUNDS: usize = 5;
/// The most that attribution may add to an outgoing call, in ns.
const MOST: f64 = 500.0;
/// The most that the ledger may take of a request to a composed component.
const MOST_OF_REQUEST: f64 = 0.05;

/// Whether both are within their targets.
pub(crate) async fn measure() -> Result<bool> {
    let call = call().await?;
    let ledger = ledger().await?;
    Ok(call && ledger)
}

async fn call() -> Result<bool> {
    println!("attribution: {ROUNDS} rounds of {CALLS} import calls with it and without it");
    let mut with = Rounds::new("with it");
    let mut without = Rounds::new("without it");
    for _ in 0..ROUNDS {
        let cost = attribution_cost(CALLS).await?;
        with.push(cost.attributed);
        without.push(cost.plain);
    }
    let share = added(&with, &without);
    let met = share < MOST;
    println!(
        "  target: attribution adds under {MOST} ns to a call: {share:.0} (median), {}",
        verdict(met)
    );
    Ok(met)
}

async fn ledger() -> Result<bool> {
    println!("ledger: {ROUNDS} rounds of {REQUESTS} requests to composed components, by CPU time");
    let engine = Engine::new()?;
    let composed = hello::pool(&engine, &hello::composed()?, PoolOverrides::default())?;
    let mut with = Rounds::new("with the ledger");
    let mut without = Rounds::new("without it");
    let mut request = Rounds::new("a request to hello behind a middleware");
    // Warms up.
    hello::clients(&composed, CONCURRENT, 100).await?;
    for _ in 0..ROUNDS {
        let cost = ledger_cost(REQUESTS).await?;
        with.push(cost.with);
        without.push(cost.without);
        let before = cpu(ClockId::ThreadCPUTime);
        hello::clients(&composed, CONCURRENT, REQUESTS as usize / CONCURRENT).await?;
        request.push((cpu(ClockId::ThreadCPUTime) - before) / REQUESTS);
    }
    for rounds in [&with, &without, &request] {
        println!("  {:38} {:6.2} µs", rounds.name, rounds.median());
    }
    let (added, whole) = (added(&with, &without) / 1e3, request.median());
    let share = added / whole;
    let met = share < MOST_OF_REQUEST;
    println!(
        "  target: the ledger and two questions to it take under {MOST_OF_REQUEST} of a request: \
         {added:.2} µs, {share:.3}, {}",
        verdict(met)
    );
    Ok(met)
}

/// What is added, in ns.
fn added(with: &Rounds, without: &Rounds) -> f64 {
    with.beside(without, |with, without| with - without) * 1e9
}
