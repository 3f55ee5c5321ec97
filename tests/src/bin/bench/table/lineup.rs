//! The servers of a scenario, and what varies between them.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Result;
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;

use crate::table::contest::Contestant;
use crate::table::effort::Effort;
use crate::table::neighbour;
use crate::table::peer::{Peer, Peers, Telemetry};
use crate::table::results::Role;
use crate::table::scenario::{Kind, Scenario};

/// The services of the scenario with many, of which each hundredth gets requests.
const SERVICES: usize = 1_000;
const STEP: usize = 100;

/// The names of variations that have targets.
pub(crate) const TRACES_1: &str = "traces 1 %";
pub(crate) const TRACES_100: &str = "traces 100 %";
pub(crate) const METRICS: &str = "metrics and access log";
pub(crate) const LAZY: &str = "loaded lazily";

/// Returns the contestants of a scenario, Headwater first.
pub(crate) async fn of(
    scenario: &Scenario,
    peers: &Peers,
    effort: &Effort,
) -> Result<Vec<Contestant>> {
    let mut all = vec![simple(scenario, peers, Peer::Headwater).await?];
    for peer in scenario.peers {
        all.push(simple(scenario, peers, *peer).await?);
    }
    let is_first = scenario.name == Scenario::FIRST;
    match scenario.kind {
        Kind::Load if effort.all_telemetry || is_first => {
            let mut all_telemetry = vec![
                (TRACES_1, Telemetry::Traces("0.01")),
                (TRACES_100, Telemetry::Traces("1.0")),
                ("access log", Telemetry::AccessLog),
            ];
            if is_first {
                all_telemetry.push((METRICS, Telemetry::MetricsAndAccessLog));
            }
            for (what, telemetry) in all_telemetry {
                let mut one = simple(scenario, peers, Peer::Headwater).await?;
                one.vary(what, 0);
                one.service.telemetry = telemetry;
                all.push(one);
            }
        }
        Kind::Load | Kind::Bulk | Kind::ColdStart => {}
        Kind::Services => {
            let mut one = simple(scenario, peers, Peer::Headwater).await?;
            one.vary("one service", 0);
            all.push(one);
            let mut lazy = simple(scenario, peers, Peer::Headwater).await?;
            lazy.vary(LAZY, 0);
            all.push(lazy);
            let paths = (0..SERVICES).step_by(STEP);
            let paths: Arc<[String]> = paths.map(|number| format!("/s/{number}")).collect();
            for (at, load) in [(0, "eager"), (2, "lazy")] {
                all[at].service.settings = Some(Arc::new(many(load)?.write()?));
                all[at].request.paths = paths.clone();
            }
        }
        Kind::Neighbour => {
            for at in 0..all.len() {
                let mut quiet = simple(scenario, peers, all[at].peer).await?;
                quiet.vary("in quiet", at);
                all[at].neighbour = true;
                all.push(quiet);
            }
            let settings = Arc::new(neighbour::settings(effort)?);
            for one in &mut all {
                // The other servers serve one component.
                if one.peer == Peer::Headwater {
                    one.service.settings = Some(settings.clone());
                }
            }
        }
    }
    Ok(all)
}

async fn simple(scenario: &Scenario, peers: &Peers, peer: Peer) -> Result<Contestant> {
    let upstream = match scenario.calls {
        0 => None,
        _ => Some(peers.native().await?),
    };
    let url = upstream
        .as_ref()
        .map(|upstream| format!("http://{}", upstream.authority()));
    Ok(Contestant {
        name: peer.name().to_owned(),
        role: match peer {
            Peer::Headwater => Role::Ours,
            _ => Role::Peer,
        },
        peer,
        service: scenario.service(url.as_deref()),
        request: scenario.request(url.as_deref()),
        neighbour: false,
        upstream,
    })
}

/// Returns settings for many services of the same guest, which are loaded so.
fn many(load: &str) -> Result<Settings> {
    let hello = guest("hello")?;
    let mut text = format!("[defaults]\nload = {load:?}\n");
    for number in 0..SERVICES {
        writeln!(
            text,
            "[[service]]\nname = \"s{number}\"\nroute = \"/s/{number}\"\ncomponent = {hello:?}"
        )?;
    }
    Ok(Settings::default().text(&text))
}

impl Contestant {
    /// Makes it a variation of another contestant.
    fn vary(&mut self, what: &str, of: usize) {
        self.name = format!("{}, {what}", self.name);
        self.role = Role::Variation(of);
    }
}
