//! Compares Headwater with its peers in all scenarios, and prints ratios first.
//!
//! A [`scenario::Scenario`] names a guest, a request, and the servers that can serve it. Each server is
//! started from a package, as its users have it ([`peer`]). Then all of them get load in turn
//! ([`contest`]), or are started in turn ([`cold`]).

mod cold;
mod contest;
mod effort;
mod figures;
mod lineup;
mod load;
mod machine;
pub(crate) mod native;
mod neighbour;
mod peer;
mod report;
mod request;
mod results;
mod scenario;
mod server;
mod targets;
mod tree;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::options::TableOptions;
use crate::table::effort::Effort;
use crate::table::machine::Machine;
use crate::table::peer::{Peer, Peers};
use crate::table::report::Table;
use crate::table::results::Results;
use crate::table::scenario::{Kind, Scenario};

/// Measures the selected scenarios, prints the table, and writes it to files if there is a folder
/// for them.
pub(crate) async fn measure(options: &TableOptions) -> Result<()> {
    let started = Instant::now();
    let effort = Effort::of(options.quick);
    let mut scenarios = Scenario::all();
    scenarios.retain(|scenario| scenario.is_selected(&options.only));
    ensure!(
        !scenarios.is_empty(),
        "no scenario has such a name; there are {}",
        Scenario::all()
            .iter()
            .map(|scenario| scenario.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    println!("table: {} scenarios, of", scenarios.len());
    let peers = Peers::find().await?;
    let mut results = Vec::new();
    for scenario in &scenarios {
        println!("  {} …", scenario.name);
        let contestants = lineup::of(scenario, &peers, &effort)
            .await
            .with_context(|| format!("preparing {}", scenario.name))?;
        let entries = match scenario.kind {
            Kind::ColdStart => cold::run(&peers, contestants, &effort).await,
            _ => contest::run(scenario, &peers, contestants, &effort).await,
        };
        results.push(Results {
            name: scenario.name,
            title: scenario.title,
            entries,
        });
    }
    let table = Table {
        machine: Machine::this(),
        servers: Peer::ALL
            .into_iter()
            .map(|peer| (peer.name(), peers.version(peer).to_owned()))
            .collect(),
        effort,
        results,
    };
    println!("\n{}", report::terminal::table(&table));
    println!("{:.0} s\n", started.elapsed().as_secs_f64());
    if let Some(folder) = &options.out {
        report::write(&table, folder)?;
        println!("written to {}", folder.display());
    }
    Ok(())
}
