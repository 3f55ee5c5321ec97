//! Measures whether the CPU time of a request grows with what a host has: services, routes, idle
//! connections, instances that it has ever started, requests that are open in an instance.
//!
//! The hosts of a curve differ in that number alone. They run at the same time and get load in
//! turn, so what the machine does otherwise changes all of them alike. What counts is the ratio to
//! the smallest one.

mod curve;
mod idle_connections;
mod instances;
mod open_requests;
mod routes;
mod services;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::curve::Curve;
use crate::goal::Goal;
use crate::options::Options;

/// The highest ratio to the smallest host. Equal hosts differ by up to a twentieth in a short run.
const MOST: f64 = 1.15;

/// Files that this program and a host have open besides the connections that are counted.
const OTHER_FILES: u64 = 1_000;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    println!(
        "scaling: CPU time of a request, as a multiple of that of the first column; {} rounds in turn\n",
        options.rounds
    );
    let mut curves = Vec::new();
    for curve in [
        services::measure(options.rounds).await,
        routes::measure(options.rounds).await,
        idle_connections::measure(options.rounds).await,
        open_requests::measure(options.rounds).await,
        instances::measure(options.rounds).await,
    ] {
        curves.push(curve?);
    }
    for curve in &curves {
        println!("{}", curve.ratios());
    }
    println!("\nµs of CPU, and requests per second\n");
    for curve in &curves {
        println!("{}", curve.values());
    }
    println!();
    Ok(curves.iter().map(goal).collect())
}

fn goal(curve: &Curve) -> Goal {
    let (label, ratio) = curve.highest();
    Goal {
        target: format!("at most {MOST} times the CPU time, for {}", curve.what),
        found: format!("{ratio:.2} ({label})"),
        met: ratio <= MOST,
    }
}

/// Raises the limit on open files of this program, and of the hosts that it starts, as far as the
/// system allows. Returns the number of connections that are possible, up to `wanted`.
fn connections(wanted: u64) -> Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("raising the limit on open files")?;
    let files = maximum.unwrap_or(u64::MAX);
    Ok(wanted.min(files.saturating_sub(OTHER_FILES)))
}
