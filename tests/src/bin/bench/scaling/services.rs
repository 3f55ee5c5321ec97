//! Services of one component, of which one gets requests.

use std::fmt::Write;

use anyhow::Result;
use headwater_tests::Host;
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;

use super::curve::{Case, Curve};

const SERVICES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

pub(super) async fn measure(rounds: usize) -> Result<Curve> {
    let mut cases = Vec::new();
    let mut files = Vec::new();
    for count in SERVICES {
        let file = settings(count)?.write()?;
        let host = Host::serve(file.path()).start().await?;
        // One in the middle: the first or the last could be found by luck.
        cases.push(Case::new(count, host, &format!("/s/{}", count / 2)).await?);
        files.push(file);
    }
    Curve::of("services", cases, rounds).await
}

/// Returns services that are loaded when they are requested: otherwise ten thousand would take
/// seconds to start, and nothing of that is measured here.
fn settings(count: usize) -> Result<Settings> {
    let hello = guest("hello")?;
    let mut text = "[defaults]\nload = \"lazy\"\n".to_owned();
    for number in 0..count {
        writeln!(
            text,
            "[[service]]\nname = \"s{number}\"\nroute = \"/s/{number}\"\ncomponent = {hello:?}"
        )?;
    }
    Ok(Settings::default().text(&text))
}
