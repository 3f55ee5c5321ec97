//! The cost of attribution for an outgoing call, of its ledger for a composed component's request, and
//! of reported wake-ups for a guest whose tasks can wake one another.

use anyhow::Result;
use headwater_runtime::{Engine, PoolOverrides};
use rustix::time::ClockId;

use crate::bare::failed;
use crate::rounds::{Rounds, cpu, verdict};
use crate::{calls, egress, hello, ledger, wakes};

const CALLS: u32 = 1_000_000;
/// Requests per round to a component that makes an outgoing request, to a composed one that does almost
/// nothing, and to one that answers.
const REQUESTS: u32 = 30_000;
/// Concurrent requests to those that answer.
const CONCURRENT: usize = 16;
/// The median of this many rounds counts.
const ROUNDS: usize = 5;
/// The maximum share of attribution in a request with one outgoing request.
const MOST_OF_OUTGOING: f64 = 0.005;
/// The maximum share of the ledger in a request to a composed component.
const MOST_OF_REQUEST: f64 = 0.05;

/// The maximum time of a reported wake-up, in ns.
const MOST_OF_WAKE_UP: f64 = 400.0;
/// The maximum share added to a request that wakes no task, in a guest that answers.
const MOST_OF_QUIET: f64 = 0.02;

pub(crate) async fn measure() -> Result<bool> {
    let call = of_call().await?;
    let ledger = of_ledger().await?;
    let wakes = of_wakes().await?;
    Ok(call && ledger && wakes)
}

async fn of_call() -> Result<bool> {
    println!(
        "attribution: {ROUNDS} rounds of {CALLS} import calls with it and without it, and of {REQUESTS} requests, \
         by CPU time"
    );
    let mut with = Rounds::new("with it");
    let mut without = Rounds::new("without it");
    let mut request = Rounds::new("a request with an outgoing request");
    let (engine, upstream) = (Engine::new()?, egress::upstream()?);
    let (fanout, uri) = (
        hello::fanout(&engine, upstream)?,
        hello::one_call(upstream)?,
    );
    // Warm-up.
    hello::clients_of(&fanout, &uri, CONCURRENT, 100).await?;
    for _ in 0..ROUNDS {
        for (rounds, attributed) in [(&mut with, true), (&mut without, false)] {
            rounds.push(
                calls::time(&engine, CALLS, attributed)
                    .await
                    .map_err(failed)?
                    / CALLS,
            );
        }
        let before = cpu(ClockId::ThreadCPUTime);
        hello::clients_of(&fanout, &uri, CONCURRENT, REQUESTS as usize / CONCURRENT).await?;
        request.push((cpu(ClockId::ThreadCPUTime) - before) / REQUESTS);
    }
    println!("  {:38} {:6.2} µs", request.name, request.median());
    let added = added(&with, &without);
    let share = added / 1e3 / request.median();
    let met = share <= MOST_OF_OUTGOING;
    println!(
        "  target: attribution takes at most {MOST_OF_OUTGOING} of a request with an outgoing request: \
         {added:.0} ns, {share:.4}, {}",
        verdict(met)
    );
    Ok(met)
}

async fn of_ledger() -> Result<bool> {
    println!("ledger: {ROUNDS} rounds of {REQUESTS} requests to composed components, by CPU time");
    let engine = Engine::new()?;
    let composed = hello::pool(&engine, &hello::composed()?, PoolOverrides::default())?;
    let mut with = Rounds::new("with the ledger");
    let mut without = Rounds::new("without it");
    let mut request = Rounds::new("a request to hello behind a middleware");
    // Warm-up.
    hello::clients(&composed, CONCURRENT, 100).await?;
    for _ in 0..ROUNDS {
        for (rounds, ledger) in [(&mut with, true), (&mut without, false)] {
            rounds.push(
                ledger::time(&engine, REQUESTS, ledger)
                    .await
                    .map_err(failed)?
                    / REQUESTS,
            );
        }
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

async fn of_wakes() -> Result<bool> {
    println!("wake-ups: {ROUNDS} rounds of {REQUESTS} requests that are heard and that are not");
    let engine = Engine::new()?;
    let hello = hello::pool(&engine, &hello::binary()?, PoolOverrides::default())?;
    let mut wake_heard = Rounds::new("asleep and woken, heard");
    let mut wake_unheard = Rounds::new("asleep and woken, unheard");
    let mut quiet_heard = Rounds::new("wakes nobody, heard");
    let mut quiet_unheard = Rounds::new("wakes nobody, unheard");
    let mut request = Rounds::new("a request to hello");
    // Warm-up.
    hello::clients(&hello, CONCURRENT, 100).await?;
    for _ in 0..ROUNDS {
        let (wake, quiet) = (&["sleep", "wake"][..], &["wait"][..]);
        for (rounds, functions, times, heard) in [
            (&mut wake_heard, wake, REQUESTS / 2, true),
            (&mut wake_unheard, wake, REQUESTS / 2, false),
            (&mut quiet_heard, quiet, REQUESTS, true),
            (&mut quiet_unheard, quiet, REQUESTS, false),
        ] {
            let time = wakes::time(&engine, functions, times, heard).await;
            rounds.push(time.map_err(failed)? / times);
        }
        let before = cpu(ClockId::ThreadCPUTime);
        hello::clients(&hello, CONCURRENT, REQUESTS as usize / CONCURRENT).await?;
        request.push((cpu(ClockId::ThreadCPUTime) - before) / REQUESTS);
    }
    for rounds in [
        &wake_heard,
        &wake_unheard,
        &quiet_heard,
        &quiet_unheard,
        &request,
    ] {
        println!("  {:38} {:6.2} µs", rounds.name, rounds.median());
    }
    let wake = added(&wake_heard, &wake_unheard);
    let share = added(&quiet_heard, &quiet_unheard) / 1e3 / request.median();
    let met = wake < MOST_OF_WAKE_UP && share < MOST_OF_QUIET;
    println!(
        "  target: a wake-up takes under {MOST_OF_WAKE_UP} ns more: {wake:.0}; a request that wakes \
         nobody under {MOST_OF_QUIET} of a request to hello more: {share:.4}: {}",
        verdict(met)
    );
    Ok(met)
}

fn added(with: &Rounds, without: &Rounds) -> f64 {
    with.beside(without, |with, without| with - without) * 1e9
}
