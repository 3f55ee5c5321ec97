//! Compares `fanout` with one outgoing request in Headwater and in `wasmtime serve`: requests per
//! second, CPU time, and the sockets that each leaves behind.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_tests::Host;
use headwater_tests::guests::guest;

use crate::goal::{Goal, median};
use crate::load::{Round, Target};
use crate::options::Options;
use crate::time_wait;

const CONNECTIONS: usize = 16;
/// Requests before the measurement.
const WARM_UP: usize = 500;
/// The requests of a round. All rounds together must not exhaust the local ports of
/// `wasmtime serve`: each request uses one for a minute, and there are 28,000.
const REQUESTS: usize = 2_000;

/// The lowest ratio of Headwater's requests per second to those of `wasmtime serve`.
const LEAST_TIMES: f64 = 3.0;
/// The highest CPU time per request, as a share of that of `wasmtime serve`.
const MOST_CPU: f64 = 1.0 / 3.0;
/// The maximum number of sockets that Headwater may leave behind: a connection pool closes some
/// when it shrinks.
const MOST_LEFT: usize = 2 * CONNECTIONS;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    let rounds = options.rounds;
    println!(
        "egress: {rounds} rounds of {REQUESTS} requests to fanout, each with one outgoing request, over \
         {CONNECTIONS} connections, in turn\n"
    );
    let mut headwater = Contestant::start(|upstream| {
        Ok(Host::serve(guest("fanout")?).args(["--allow-outgoing", upstream]))
    })
    .await?;
    let program = PathBuf::from(std::env::var_os("HEADWATER_WASMTIME").context(
        "HEADWATER_WASMTIME names no `wasmtime` to compare with: `cargo xtask bench` installs one",
    )?);
    let mut wasmtime = Contestant::start(|_| {
        // It prints its address on standard error.
        Ok(Host::program("sh")
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(&program)
            .args(["serve", "-S", "cli", "--addr", "127.0.0.1:0"])
            .arg(guest("fanout")?))
    })
    .await?;

    let mut both = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (contestant, rounds) in [&mut headwater, &mut wasmtime].into_iter().zip(&mut both) {
            if round == 0 {
                contestant.target.load(WARM_UP).await?;
                contestant.left_before = contestant.left()?;
            } else {
                rounds.push(contestant.target.load(REQUESTS).await?);
            }
        }
    }
    let ours = Figures::new(&both[0], &headwater)?;
    let theirs = Figures::new(&both[1], &wasmtime)?;
    let times = ours.per_second / theirs.per_second;
    let cpu = ours.cpu_micros / theirs.cpu_micros;
    println!(
        "{:<24}{:>12}{:>19}{:>22}",
        "", "requests/s", "CPU per request", "sockets in TIME_WAIT"
    );
    ours.print("headwater");
    theirs.print("wasmtime serve");
    println!("{:<24}{times:>12.2}{cpu:>16.2}\n", "ratio");
    Ok(vec![
        Goal {
            target: format!(
                "at least {LEAST_TIMES} times the requests per second of wasmtime serve"
            ),
            found: format!("{times:.2}"),
            met: times >= LEAST_TIMES,
        },
        Goal {
            target: format!("at most {MOST_CPU:.2} of its CPU time per request"),
            found: format!("{cpu:.2}"),
            met: cpu <= MOST_CPU,
        },
        Goal {
            target: format!("at most {MOST_LEFT} sockets left in TIME_WAIT"),
            found: format!("{}", ours.left),
            met: ours.left <= MOST_LEFT,
        },
    ])
}

/// A server of the guest with its own upstream, so that each server has its own sockets.
struct Contestant {
    target: Target,
    upstream: Host,
    left_before: usize,
}

impl Contestant {
    async fn start(
        server: impl FnOnce(&str) -> Result<headwater_tests::host::HostBuilder>,
    ) -> Result<Self> {
        let this = std::env::current_exe().context("asking for the path of this program")?;
        let upstream = Host::program(this).arg("plain-server").start().await?;
        let server = server(upstream.url())?.start().await?;
        let path = format!("/?to={}&k=1&wait=0", upstream.url());
        Ok(Self {
            target: Target::connect_by(CONNECTIONS, server, &path).await?,
            upstream,
            left_before: 0,
        })
    }

    fn left(&self) -> Result<usize> {
        time_wait::of_port(time_wait::port_of(self.upstream.url())?)
    }
}

struct Figures {
    /// The median of the rounds.
    per_second: f64,
    /// The average of all rounds.
    cpu_micros: f64,
    /// New sockets in `TIME_WAIT` since the start of the rounds.
    left: usize,
}

impl Figures {
    fn new(rounds: &[Round], contestant: &Contestant) -> Result<Self> {
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        let requests: usize = rounds.iter().map(|round| round.requests).sum();
        Ok(Self {
            per_second: median(rounds.iter().map(Round::per_second)),
            cpu_micros: cpu.as_secs_f64() * 1e6 / requests as f64,
            left: contestant.left()?.saturating_sub(contestant.left_before),
        })
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<24}{:>12.0}{:>16.1} µs{:>22}",
            self.per_second, self.cpu_micros, self.left
        );
    }
}
