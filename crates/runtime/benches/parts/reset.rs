//! The cost of a fresh instance for each request, including the reset of memory: Headwater's engine compared
//! with stock wasmtime with the page-map scan, which is faster and unsound.
//!
//! Each side is a process of its own, this binary as a server: the reset takes the kernel's locks on a
//! process's memory, and two engines in one process would wait for each other.

mod load;
mod server;

use std::path::Path;

use anyhow::{Context, Result, bail};

use self::load::Server;
pub(crate) use self::server::serve;
use crate::hello;
use crate::rounds::{Rounds, verdict};

const ROUNDS: usize = 9;

/// Headwater's own engine; any other name is a list of settings of stock wasmtime (see [`server`]).
pub(crate) const PRODUCT: &str = "headwater";

/// Headwater's former settings: fast, and unsound.
const REFERENCE: &str = "scan";

/// The guests, the number of requests to each in a round, and the maximum CPU time as a multiple of the
/// reference's.
const GUESTS: [(&str, usize, Option<f64>); 5] = [
    ("wagi-c", 10_000, Some(1.2)),
    ("wagi-rust", 10_000, Some(1.2)),
    ("probe-p2", 4_000, Some(1.0)),
    ("hello", 4_000, None),
    ("python", 200, None),
];

pub(crate) async fn measure() -> Result<bool> {
    println!(
        "reset: {ROUNDS} rounds in turn, a fresh instance for each request, by CPU time of the server"
    );
    let mut met = true;
    for (guest, requests, most) in GUESTS {
        let path = hello::path(guest)?;
        if !path.exists() {
            println!("  SKIPPED {guest}: it was not built");
            continue;
        }
        let mut ours = Rounds::new("Headwater");
        let mut reference = Rounds::new("page-map scan");
        let product = Server::start(PRODUCT, &path).await?;
        let scanning = match Server::start(REFERENCE, &path).await {
            Ok(scanning) => scanning,
            Err(error) => {
                println!("  SKIPPED: this kernel has no page-map scan to compare with ({error:#})");
                return Ok(met);
            }
        };
        let mut servers = [product, scanning];
        for round in 0..=ROUNDS {
            for (server, rounds) in servers.iter_mut().zip([&mut ours, &mut reference]) {
                let cpu = server.load(requests).await?;
                if round > 0 {
                    rounds.push(cpu);
                }
            }
        }
        let times = ours.beside(&reference, |ours, reference| ours / reference);
        println!(
            "  {guest:12} {:8.1} µs, with the scan {:8.1} µs: {times:.2} times; {:.0} and {:.0} MiB",
            ours.median() / requests as f64,
            reference.median() / requests as f64,
            servers[0].peak_mib().await?,
            servers[1].peak_mib().await?,
        );
        if let Some(most) = most {
            met &= times <= most;
            println!(
                "  target: at most {most} times the unsound reset: {times:.2}, {}",
                verdict(times <= most)
            );
        }
    }
    Ok(met)
}

/// Compares settings of stock wasmtime: `parts reset-settings GUEST REQUESTS ROUNDS SETTING...`.
pub(crate) async fn compare(arguments: &[String]) -> Result<()> {
    let [guest, requests, count, settings @ ..] = arguments else {
        bail!("GUEST REQUESTS ROUNDS SETTING...");
    };
    let path = if guest.contains('/') {
        Path::new(guest).to_owned()
    } else {
        hello::path(guest)?
    };
    let requests: usize = requests.parse().context("REQUESTS")?;
    let count: usize = count.parse().context("ROUNDS")?;
    let mut servers = Vec::new();
    for setting in settings {
        servers.push((Server::start(setting, &path).await?, Rounds::new("")));
    }
    for round in 0..=count {
        for (server, rounds) in &mut servers {
            let cpu = server.load(requests).await?;
            if round > 0 {
                rounds.push(cpu);
            }
        }
    }
    let first = &servers[0].1;
    let mut lines = Vec::new();
    for (_, rounds) in &servers {
        lines.push((
            rounds.median() / requests as f64,
            rounds.beside(first, |one, first| one / first),
        ));
    }
    for (((server, _), setting), (cpu, times)) in servers.iter_mut().zip(settings).zip(lines) {
        let (peak, now) = (server.peak_mib().await?, server.rss_mib().await?);
        println!(
            "{guest:12} {setting:44} {cpu:9.1} µs {times:5.2}  peak {peak:6.0} MiB, now {now:6.0} MiB, {:6.0}/s",
            server.rate
        );
    }
    Ok(())
}
