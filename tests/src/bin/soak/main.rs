//! Runs a host under mixed load for minutes: good guests, and ones that trap, spin or hold
//! backpressure; and clients that stay, and ones that leave. At the end everything must be as at
//! the beginning. `cargo xtask soak` builds what it needs and starts it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

mod kinds;
mod report;
mod request;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Client, Host, Upstream, isolation, outgoing_soak, within};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::kinds::{ALONE, BOUNDS, KINDS, Kind};
use crate::report::{Report, Tally};
use crate::request::{Outcome, send};

/// The time without load before the host is examined: longer than its idle and post-return
/// timeouts, so that all instances have ended.
const REST: Duration = Duration::from_secs(5);
/// The maximum time that a client waits for an answer: far longer than all of the host's timeouts.
const PATIENCE: Duration = Duration::from_secs(60);

const USAGE: &str = "\
Usage: soak [--minutes N | --outgoing N | --isolation N]

  --minutes N   how long to load the host, fractions allowed [default: 10]
  --outgoing N  in place of that: so many outgoing requests
  --isolation N in place of that: for so many minutes, guests that look for what others
                left in memory, while the kernel moves pages and sends them out";

/// The task to run.
enum Task {
    Load(Duration),
    Outgoing(usize),
    Isolation(Duration),
    Help,
}

#[tokio::main]
async fn main() -> ExitCode {
    let good = match task(std::env::args().skip(1)) {
        Ok(Task::Load(run_for)) => soak(run_for).await.map(|report| {
            println!("{report}");
            report.good()
        }),
        Ok(Task::Outgoing(number)) => outgoing(number).await,
        Ok(Task::Isolation(run_for)) => isolation(run_for).await,
        Ok(Task::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(mut arguments: impl Iterator<Item = String>) -> Result<Task> {
    let mut minutes = 10.0;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--outgoing" => {
                let value = arguments.next().unwrap_or_default();
                let number = value.parse().ok().filter(|&number| number > 0);
                let number = number.context("--outgoing needs a number from 1 up")?;
                return Ok(Task::Outgoing(number));
            }
            "--minutes" => minutes = number_of_minutes(&argument, arguments.next())?,
            "--isolation" => {
                let minutes = number_of_minutes(&argument, arguments.next())?;
                return Ok(Task::Isolation(Duration::from_secs_f64(minutes * 60.0)));
            }
            _ => bail!("there is no option {argument}"),
        }
    }
    Ok(Task::Load(Duration::from_secs_f64(minutes * 60.0)))
}

fn number_of_minutes(argument: &str, value: Option<String>) -> Result<f64> {
    value
        .unwrap_or_default()
        .parse()
        .ok()
        .filter(|minutes| (0.1..=1_000.0).contains(minutes))
        .with_context(|| format!("{argument} needs a number from 0.1 to 1000"))
}

/// Returns true if no guest finds data of others. Half of the time there are enough instances for
/// all, and in the other half only one.
async fn isolation(run_for: Duration) -> Result<bool> {
    let mut good = true;
    for arguments in [&[][..], &["--places", "1"]] {
        println!("Looking for what other guests left in memory, {arguments:?} …");
        let figures = isolation::attack(run_for / 2, arguments).await?;
        println!("{figures}");
        good &= figures.found.is_empty();
    }
    Ok(good)
}

/// Returns true if there are no problems after this number of outgoing requests.
async fn outgoing(number: usize) -> Result<bool> {
    println!("Making {number} outgoing requests …\n");
    let figures = outgoing_soak::run(number).await?;
    println!("{figures}");
    let problems = figures.problems();
    for problem in &problems {
        println!("problem: {problem}");
    }
    Ok(problems.is_empty())
}

struct Run {
    upstream: Upstream,
    host: Host,
    problems: Mutex<Vec<String>>,
    _settings: SettingsFile,
}

async fn soak(run_for: Duration) -> Result<Report> {
    println!(
        "Loading a host for {:.1} minutes …\n",
        run_for.as_secs_f64() / 60.0
    );
    let mut run = Run::start().await?;
    let process = run.host.process();
    // After each service was used, all threads, tables and files that stay exist.
    run.load(Duration::from_secs(3)).await;
    run.rest().await;
    let files_before = process.open_files()?;

    let started = Instant::now();
    let early = (run_for / 5).min(Duration::from_secs(60));
    let (tallies, rss_before) = futures::join!(run.load(run_for), async {
        tokio::time::sleep(early).await;
        process.rss()
    });
    let rss_before = rss_before?;
    let rss_after = process.rss()?;
    let elapsed = started.elapsed();

    run.rest().await;
    // Files close after some time.
    let settled = within("the end of all connections", async {
        while process.open_files()? > files_before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    });
    let settled = settled.await.and_then(|settled| settled);
    let files_after = process.open_files()?;
    if let Err(error) = settled {
        run.problem(format!("{files_after} files are open: {error:#}"));
    }
    run.end().await;
    let problems = run.problems.into_inner();
    Ok(Report {
        tallies,
        elapsed,
        problems: problems.unwrap_or_else(std::sync::PoisonError::into_inner),
        rss: [rss_before, rss_after],
        files: [files_before, files_after],
    })
}

impl Run {
    async fn start() -> Result<Self> {
        let upstream = Upstream::start().await?;
        let url = upstream.url();
        let allow = [url.as_str()];
        let mut settings = Settings::default()
            .component("hello", "/hello", &[])?
            .text("max_requests_per_instance = \"200-400\"\n")
            .component("fanout", "/fanout", &allow)?
            .text(BOUNDS)
            .component("detached", "/detached", &allow)?
            .text(BOUNDS)
            .component("outgoing-p2", "/p2", &allow)?
            .text(BOUNDS)
            .component("backpressure", "/backpressure", &[])?
            .text(BOUNDS);
        for (guest, routes) in ALONE {
            for route in *routes {
                let name = format!("{guest}{}", route.replace('/', "-"));
                settings = settings
                    .component_as(&name, guest, route, &[])?
                    .text(BOUNDS);
            }
        }
        let settings = settings.write()?;
        let host = Host::serve(settings.path())
            .args(["--log", "off", "--timeout", "2s", "--memory", "64"])
            .args(["--idle-timeout", "1s", "--post-return-timeout", "1s"])
            .start()
            .await?;
        Ok(Self {
            upstream,
            host,
            problems: Mutex::default(),
            _settings: settings,
        })
    }

    /// Sends all kinds of requests at once for this time, and waits for the last answers.
    async fn load(&self, run_for: Duration) -> Vec<Tally> {
        let until = Instant::now() + run_for;
        join_all(KINDS.iter().map(async |kind| {
            let url = format!("{}{}", self.host.url(), kind.path)
                .replace("UPSTREAM", &self.upstream.url());
            let clients = (0..kind.clients).map(|nth| self.client(kind, nth, &url, until));
            let tallies = join_all(clients).await;
            tallies.into_iter().fold(Tally::default(), Tally::plus)
        }))
        .await
    }

    /// Runs one client: those with odd numbers speak HTTP/2.
    async fn client(&self, kind: &Kind, nth: usize, url: &str, until: Instant) -> Tally {
        let client = if nth % 2 == 1 {
            Client::http2()
        } else {
            Client::new()
        };
        let mut tally = Tally::default();
        let mut turns = interval(kind.every);
        // A slow host gets fewer requests instead of all missed ones at once.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if Instant::now() >= until {
                return tally;
            }
            tally.sent += 1;
            let outcome = timeout(PATIENCE, send(&client, kind.expected, url)).await;
            let outcome = outcome.context("neither an answer nor an end").flatten();
            match outcome {
                Ok(Outcome::AsExpected) => tally.as_expected += 1,
                Ok(Outcome::Refused) => tally.refused += 1,
                Ok(Outcome::Left) => tally.left += 1,
                Err(error) => {
                    tally.wrong += 1;
                    self.problem(format!("{}: {error:#}", kind.name));
                }
            }
        }
    }

    async fn rest(&self) {
        // There is no event that shows that nothing more happens.
        tokio::time::sleep(REST).await;
    }

    /// Checks that the host still serves every good service, and shuts down properly.
    async fn end(&mut self) {
        let hello = format!("{}/hello", self.host.url());
        match Client::new().get(&hello).await {
            Ok(answer) if answer.status == 200 => {}
            other => self.problem(format!("after the load: {other:?}")),
        }
        match self.host.stop().await {
            Ok(status) if status.success() => {}
            other => self.problem(format!("after SIGTERM: {other:?}")),
        }
    }

    fn problem(&self, text: String) {
        if let Ok(mut problems) = self.problems.lock() {
            problems.push(text);
        }
    }
}
