//! Routes with fixed answers: the cost of a request without a guest, in which the router's share is
//! the largest.

use std::fmt::Write;

use anyhow::Result;
use headwater_tests::Host;
use headwater_tests::settings::Settings;

use super::curve::{Case, Curve};

const ROUTES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

pub(super) async fn measure(rounds: usize) -> Result<Curve> {
    let mut cases = Vec::new();
    for count in ROUTES {
        let file = settings(count)?.write()?;
        let host = Host::serve(file.path()).start().await?;
        let path = format!("/area-{}/item/below", count / 2 / 2 * 2);
        cases.push(Case::new(count, host, &path).await?);
    }
    Curve::of("routes", cases, rounds).await
}

/// Returns routes of both kinds in turn: a path with all below it, and one path.
fn settings(count: usize) -> Result<Settings> {
    let mut text = String::new();
    for number in 0..count {
        let below = if number % 2 == 0 { "/..." } else { "" };
        writeln!(
            text,
            "[[answer]]\nroute = \"/area-{number}/item{below}\"\nbody = \"found\""
        )?;
    }
    Ok(Settings::default().text(&text))
}
