//! Starts of several servers in turn, with their compiled code in a cache, until the first answer.

use anyhow::Result;

use crate::goal::mib;
use crate::table::contest::Contestant;
use crate::table::effort::Effort;
use crate::table::figures::{Figures, Metric};
use crate::table::peer::Peers;
use crate::table::results::{Entry, Outcome};

pub(crate) async fn run(
    peers: &Peers,
    contestants: Vec<Contestant>,
    effort: &Effort,
) -> Vec<Entry> {
    let mut all: Vec<(Contestant, Result<Figures>)> = contestants
        .into_iter()
        .map(|contestant| (contestant, Ok(Figures::default())))
        .collect();
    // The first start fills the caches.
    for start in 0..=effort.starts {
        for (contestant, state) in &mut all {
            if let Ok(figures) = state
                && let Err(error) = once(peers, contestant, figures, start > 0).await
            {
                *state = Err(error);
            }
        }
    }
    let entries = all.into_iter().map(|(contestant, state)| Entry {
        outcome: match state {
            Ok(figures) => Outcome::Measured(figures),
            Err(error) => {
                println!("  NOT HAD: {}: {error:#}", contestant.name);
                Outcome::NotHad(format!("{error:#}"))
            }
        },
        name: contestant.name,
        role: contestant.role,
    });
    entries.collect()
}

async fn once(
    peers: &Peers,
    contestant: &Contestant,
    figures: &mut Figures,
    counts: bool,
) -> Result<()> {
    let Contestant {
        peer,
        service,
        request,
        ..
    } = contestant;
    let server = peers.start(*peer, service, request).await?;
    if counts {
        figures.add(Metric::Start, server.first_answer.as_secs_f64() * 1e3);
        figures.add(Metric::Memory, mib(server.peak_rss()?));
    }
    server.stop().await
}
