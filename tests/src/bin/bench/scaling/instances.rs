//! A host that has started many instances, and hosts that have just begun.

use std::time::Duration;

use anyhow::Result;
use headwater_tests::Host;
use headwater_tests::guests::guest;

use super::curve::{Case, Curve};

/// The instances of an old host, if there is time for them.
const OLD: usize = 1_000_000;

/// The time that a host may take to become old.
const AGING: Duration = Duration::from_secs(60);

/// The requests of a round. A new host starts no more instances than these and a few to warm up.
const REQUESTS: usize = 8_000;

pub(super) async fn measure(rounds: usize) -> Result<Curve> {
    let mut old = begin("").await?;
    let mut served = old.age(AGING, OLD).await?;
    let mut new: Option<Case> = None;
    for _ in 0..rounds {
        let mut other = begin("the first 10000").await?;
        other.warm_up().await?;
        other.round(REQUESTS).await?;
        old.round(REQUESTS).await?;
        served += REQUESTS;
        if let Some(before) = new.take() {
            other.add(before);
        }
        new = Some(other);
    }
    old.relabel(format!("after {served}"));
    Curve::measured(
        "instances ever started",
        new.into_iter().chain([old]).collect(),
    )
}

/// Starts a host in which each request has an instance of its own.
async fn begin(label: &str) -> Result<Case> {
    let host = Host::serve(guest("hello")?)
        .args(["--max-requests-per-instance", "1"])
        .start()
        .await?;
    Case::new(label, host, "/").await
}
