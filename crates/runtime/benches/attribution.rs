//! What attribution adds to an outgoing call. `cargo xtask bench` runs it.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use headwater_runtime::measure::{attribution_cost, ledger_cost};

/// As in the binary, so that what users run is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Import calls per round.
const CALLS: u32 = 1_000_000;
/// Requests to a composed component per round.
const REQUESTS: u32 = 100_000;
/// The median of so many rounds counts.
const ROUNDS: usize = 5;
/// The most that attribution may add to an outgoing call.
const MOST: Duration = Duration::from_micros(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
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
        if share < MOST { "met" } else { "MISSED" }
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
    let asserted = std::env::args().any(|argument| argument == "--assert");
    Ok(if asserted && share >= MOST {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
