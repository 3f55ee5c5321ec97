//! Measures what a link of a chain costs: hosts with and without it, in turn.

use anyhow::Result;
use headwater_tests::Host;
use headwater_tests::guests::guest;
use headwater_tests::settings::{Settings, SettingsFile};

use crate::goal::{Goal, median};
use crate::load::{CONNECTIONS, Round, Target};
use crate::long::{self, Long};
use crate::options::Options;

/// Requests before the measurement.
const WARM_UP: usize = 1_000;
/// The highest CPU time that a hop adds to the middleware's own run, in microseconds.
const MOST_OF_HOP: f64 = 16.0;
/// The highest CPU time of a link of hooks that see header fields only, in microseconds.
const MOST_OF_ACTION: f64 = 9.0;
/// The size of a body that streams through three links, in bytes.
const LONG: usize = 100 << 20;
/// The lowest rate at which it streams, in MB per second.
const LEAST_MB: f64 = 400.0;
/// The highest additional memory of the host for it, in MiB.
const MOST_GROWTH: f64 = 16.0;

/// A host under load, with the rounds that were measured.
struct Measured {
    name: &'static str,
    target: Target,
    rounds: Vec<Round>,
    _settings: SettingsFile,
}

impl Measured {
    async fn start(name: &'static str, settings: Settings) -> Result<Self> {
        let settings = settings.write()?;
        let host = Host::serve(settings.path()).start().await?;
        let mut target = Target::connect(host, "/").await?;
        target.load(WARM_UP).await?;
        Ok(Self {
            name,
            target,
            rounds: Vec::new(),
            _settings: settings,
        })
    }

    /// Returns the median CPU time of the host for a request, in microseconds.
    fn cpu(&self) -> f64 {
        let of = |round: &Round| round.cpu.as_secs_f64() * 1e6 / round.requests as f64;
        median(self.rounds.iter().map(of))
    }
}

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "chains: {} rounds of {} requests each, over {CONNECTIONS} connections, in turn\n",
        options.rounds, options.requests
    );
    let mut goals = hops(options).await?;
    goals.extend(through_three(options).await?);
    Ok(goals)
}

/// A middleware whose instances are reused.
fn middleware(settings: Settings, name: &str) -> Result<Settings> {
    let component = guest(name)?;
    Ok(settings.text(&format!(
        "[[middleware]]\nname = {name:?}\ncomponent = {component:?}\nmax_requests_per_instance = \"100000\"\n"
    )))
}

fn behind(middlewares: &[&str], service: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    for name in middlewares {
        settings = middleware(settings, name)?;
    }
    let settings = settings.component(service, "/...", &[])?;
    Ok(settings.text(&format!("middleware = {middlewares:?}\n")))
}

async fn hops(options: &Options) -> Result<Vec<Goal>> {
    let mut all = [
        Measured::start("hello", behind(&[], "hello")?).await?,
        Measured::start("composed with a middleware", behind(&[], "mw-hello")?).await?,
        Measured::start("behind a middleware", behind(&["mw"], "hello")?).await?,
        Measured::start("behind two hooks", behind(&["action"], "hello")?).await?,
    ];
    for _ in 0..options.rounds {
        for one in &mut all {
            one.rounds.push(one.target.load(options.requests).await?);
        }
    }
    let [alone, composed, chained, hooked] = &all;
    println!("{:<28}{:>18}{:>12}", "", "CPU per request", "ratio");
    for one in &all {
        let (cpu, ratio) = (one.cpu(), one.cpu() / alone.cpu());
        println!("{:<28}{cpu:>15.1} µs{ratio:>12.2}", one.name);
    }
    println!();
    let hop = chained.cpu() - composed.cpu();
    let action = hooked.cpu() - alone.cpu();
    Ok(vec![
        Goal {
            target: format!("a hop adds at most {MOST_OF_HOP} µs to a composed middleware"),
            found: format!("{hop:.1} µs"),
            met: hop <= MOST_OF_HOP,
        },
        Goal {
            target: format!("two hooks that see header fields add at most {MOST_OF_ACTION} µs"),
            found: format!("{action:.1} µs"),
            met: action <= MOST_OF_ACTION,
        },
    ])
}

/// Measures a long response through three links, on one connection.
async fn through_three(options: &Options) -> Result<Vec<Goal>> {
    let settings = behind(&["mw", "mw2", "gate"], "stream")?.write()?;
    let host = Host::serve(settings.path()).start().await?;
    let url = format!("{}/bytes?mw=pass&n={LONG}", host.url());
    let Long { rate, growth } = long::measure(&host, &url, LONG, options.rounds).await?;
    println!("  100 MiB through three links at {rate:.0} MB/s, and {growth:.1} MiB for it\n");
    Ok(vec![
        Goal {
            target: format!("at least {LEAST_MB} MB/s through three links"),
            found: format!("{rate:.0} MB/s"),
            met: rate >= LEAST_MB,
        },
        Goal {
            target: format!("in under {MOST_GROWTH} MiB"),
            found: format!("{growth:.1} MiB"),
            met: growth < MOST_GROWTH,
        },
    ])
}
