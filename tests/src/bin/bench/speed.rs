//! Compares `hello` with a plain hyper server: requests per second, CPU time, memory.

use std::time::Duration;

use anyhow::{Context, Result};
use headwater_tests::Host;
use headwater_tests::guests::guest;

use crate::goal::{Goal, median, mib};
use crate::load::{CONNECTIONS, Round, Target};
use crate::options::Options;

/// Requests before the measurement: then pages are mapped, instances started and caches warm.
pub(crate) const WARM_UP: usize = 3_000;
/// Requests to the host before its memory is measured.
const REQUESTS_BEFORE_RSS: usize = 100_000;

/// The lowest share of hyper's requests per second.
const LEAST_RATIO: f64 = 0.35;
/// The highest resident memory, in MiB.
const MOST_RSS: f64 = 60.0;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "speed: {} rounds of {} requests each, over {CONNECTIONS} connections, in turn\n",
        options.rounds, options.requests
    );
    let this = std::env::current_exe().context("asking for the path of this program")?;
    let hyper = Host::program(this).arg("plain-server").start().await?;
    let host = Host::serve(guest("hello")?).start().await?;
    let at_start = mib(host.process().rss()?);
    let mut hyper = Target::connect(hyper, "/").await?;
    let mut host = Target::connect(host, "/").await?;

    hyper.load(WARM_UP).await?;
    host.load(WARM_UP).await?;
    let (mut hyper_rounds, mut host_rounds) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        hyper_rounds.push(hyper.load(options.requests).await?);
        host_rounds.push(host.load(options.requests).await?);
    }
    let served = WARM_UP + options.rounds * options.requests;
    host.load(REQUESTS_BEFORE_RSS.saturating_sub(served).max(1))
        .await?;

    let ratio = Round::ratio(&host_rounds, &hyper_rounds);
    let hyper = Figures::new(&hyper_rounds, hyper.server.process().rss()?);
    let host = Figures::new(&host_rounds, host.server.process().rss()?);
    println!(
        "{:<24}{:>12}{:>19}{:>17}",
        "", "requests/s", "CPU per request", "memory"
    );
    hyper.print("hyper, plain");
    host.print("headwater, hello.wasm");
    println!(
        "{:<24}{ratio:>12.2}{:>16.2}{:>20.1} MiB at start\n",
        "ratio",
        host.cpu_micros / hyper.cpu_micros,
        at_start
    );
    Ok(vec![
        Goal {
            target: format!("at least {LEAST_RATIO} of hyper's requests per second"),
            found: format!("{ratio:.2}"),
            met: ratio >= LEAST_RATIO,
        },
        Goal {
            target: format!(
                "under {MOST_RSS} MiB after {} requests",
                served.max(REQUESTS_BEFORE_RSS)
            ),
            found: format!("{:.1} MiB", host.rss_mib),
            met: host.rss_mib < MOST_RSS,
        },
    ])
}

pub(crate) struct Figures {
    /// The median of the rounds.
    pub(crate) per_second: f64,
    /// The average of all rounds, because the system's steps are long compared with one round.
    pub(crate) cpu_micros: f64,
    rss_mib: f64,
}

impl Figures {
    pub(crate) fn new(rounds: &[Round], rss: u64) -> Self {
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        let requests: usize = rounds.iter().map(|round| round.requests).sum();
        Self {
            per_second: median(rounds.iter().map(Round::per_second)),
            cpu_micros: cpu.as_secs_f64() * 1e6 / requests as f64,
            rss_mib: mib(rss),
        }
    }

    pub(crate) fn print(&self, name: &str) {
        println!(
            "{name:<24}{:>12.0}{:>16.1} µs{:>13.1} MiB",
            self.per_second, self.cpu_micros, self.rss_mib
        );
    }
}
