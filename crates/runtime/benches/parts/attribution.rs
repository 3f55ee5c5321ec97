//! What attribution adds to an outgoing call, and its ledger to a composed component's request.

use std::time::Duration;

use anyhow::Result;
use headwater_runtime::measure::{attribution_cost, ledger_cost};

use crate::rounds::verdict;

/// Import calls per round.
const CALLS: u32 = 1_000_000;
/// Requests to a composed component per round.
const REQUESTS: u32 = 100_000;
/// The median of so many rounds counts.
const ROUNDS: usize = 5;
/// The most that attribution may add to an outgoing call.
const MOST: Duration = Duration::from_nanos(500);

pub(crate) async fn measure() -> Result<bool> {
    let mut shares = Vec::new();
    println!("attribution: {ROUNDS} rounds of {CALLS} import calls with it and without it");
    for _ in 0..ROUNDS {
        let cost = attribution_cost(CALLS).await?;
        println!(
            "  with {:4} ns, without {:4} ns per call",
            cost.attributed.as_nanos(),
            cost.plain.as_nanos()
        );
        shares.push(cost.share());
    }
    shares.sort();
    let share = shares[ROUNDS / 2];
    println!(
        "  target: attribution adds under {} ns to a call: {} (median), {}",
        MOST.as_nanos(),
        share.as_nanos(),
        verdict(share < MOST)
    );
    let mut shares = Vec::new();
    println!("ledger: {ROUNDS} rounds of {REQUESTS} requests to a composed component");
    for _ in 0..ROUNDS {
        let cost = ledger_cost(REQUESTS).await?;
        println!(
            "  with {:5} ns, without {:5} ns per request",
            cost.with.as_nanos(),
            cost.without.as_nanos()
        );
        shares.push(cost.share());
    }
    shares.sort();
    println!(
        "  the ledger and two questions to it add {} ns to a request (median)",
        shares[ROUNDS / 2].as_nanos()
    );
    Ok(share < MOST)
}
