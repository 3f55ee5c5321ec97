//! A guest that computes without end beside the measured one: in the same host where a host serves
//! several, otherwise in another process of the same kind.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::Client;
use headwater_tests::settings::{Settings, SettingsFile};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;

use crate::table::effort::Effort;
use crate::table::peer::{Peer, Peers, Service};
use crate::table::request::Request;
use crate::table::server::Server;

/// The guest that spins at `/spin`.
const GUEST: &str = "faulty";
/// The time in which a guest begins to spin.
const BEGIN: Duration = Duration::from_millis(50);

/// The time by which its deadline is longer than a round, which may take longer than planned.
const MARGIN: Duration = Duration::from_millis(1_500);

/// A guest that spins during rounds, and rests in between.
pub(crate) enum Neighbour {
    /// A service of the measured host. Its deadline ends it.
    Service {
        url: String,
        spinning: Option<JoinHandle<()>>,
    },
    /// Another process, which is stopped in between.
    Process {
        server: Box<Server>,
        spinning: Option<JoinHandle<()>>,
    },
}

/// Returns settings for `hello` and a service that spins for longer than a round, and no longer.
pub(crate) fn settings(effort: &Effort) -> Result<SettingsFile> {
    let timeout = effort.closed.max(effort.paced) + MARGIN;
    let mut deadline = String::new();
    writeln!(deadline, "timeout = \"{}ms\"", timeout.as_millis())?;
    Settings::default()
        .component("hello", "/hello", &[])?
        .component(GUEST, "/...", &[])?
        .text(&deadline)
        .write()
}

// === impl Neighbour ===

impl Neighbour {
    /// Returns a neighbour of a server, at rest.
    pub(crate) async fn of(peer: Peer, peers: &Peers, server: &Server) -> Result<Self> {
        match peer {
            Peer::Headwater => Ok(Self::Service {
                url: format!("http://{}/spin", server.authority()),
                spinning: None,
            }),
            Peer::Wasmtime => {
                let service = Service {
                    guest: GUEST,
                    ..Service::default()
                };
                let server = peers.start(peer, &service, &Request::get("/")).await?;
                let server = Box::new(server);
                Ok(Self::Process {
                    server,
                    spinning: None,
                })
            }
            _ => bail!("{} has no neighbours", peer.name()),
        }
    }

    /// Makes it spin.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        match self {
            Self::Service { url, spinning } => *spinning = Some(spin(url.clone())),
            Self::Process { server, spinning } => {
                signal(server, Signal::CONT)?;
                let url = format!("http://{}/spin", server.authority());
                spinning.get_or_insert_with(|| spin(url));
            }
        }
        // There is no event to wait for.
        tokio::time::sleep(BEGIN).await;
        Ok(())
    }

    /// Ends the spinning.
    pub(crate) async fn end(&mut self, measured: &Server) -> Result<()> {
        match self {
            Self::Service { spinning, .. } => {
                let spinning = spinning.take().context("it does not spin")?;
                ensure!(
                    !spinning.is_finished(),
                    "the guest had ended before the round: the machine is too busy"
                );
                spinning.abort();
                measured.process().calm().await
            }
            Self::Process { server, .. } => signal(server, Signal::STOP),
        }
    }
}

fn spin(url: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        // It is answered when it is ended, if at all.
        let _ = Client::new().get(&url).await;
    })
}

fn signal(server: &Server, signal: Signal) -> Result<()> {
    let pid = i32::try_from(server.process().pid())?;
    let pid = Pid::from_raw(pid).context("process id 0")?;
    kill_process(pid, signal).context("signalling a server")
}
