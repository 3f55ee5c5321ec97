//! Load on several servers in turn: A B A B, so that what the machine does otherwise changes all of
//! them alike.

use std::time::Duration;

use anyhow::Result;

use crate::goal::mib;
use crate::paced::Pace;
use crate::table::effort::Effort;
use crate::table::figures::{Figures, Metric};
use crate::table::load::{Clients, Until};
use crate::table::neighbour::Neighbour;
use crate::table::peer::{Peer, Peers, Service, Telemetry};
use crate::table::request::Request;
use crate::table::results::{Entry, Outcome, Role};
use crate::table::scenario::{Kind, Scenario};
use crate::table::server::Server;

/// The local ports that one server may use up for outgoing requests in a scenario: a connection
/// that is not reused occupies one for a minute, and there are 28,000.
const PORTS: usize = 24_000;
/// The requests before the measurement of a guest that calls an upstream.
const OUTGOING_WARM_UP: usize = 300;

/// A server to measure.
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) peer: Peer,
    pub(crate) service: Service,
    pub(crate) request: Request,
    /// Set if it runs beside a guest that computes without end.
    pub(crate) neighbour: bool,
    /// The upstream that its guest calls, of its own, so that each has its own connections.
    pub(crate) upstream: Option<Server>,
}

/// A contestant that has been started, until it fails.
struct Running {
    name: String,
    role: Role,
    state: Result<Measured>,
}

struct Measured {
    server: Server,
    clients: Clients,
    request: Request,
    neighbour: Option<Neighbour>,
    figures: Figures,
    /// Over all rounds, because the system's steps are long compared with one round.
    cpu: Duration,
    requests: usize,
    /// Set if it is measured at half load, too.
    is_paced: bool,
    /// The resident memory before the load.
    idle: u64,
    _upstream: Option<Server>,
}

/// Measures the contestants of a scenario in turn.
pub(crate) async fn run(
    scenario: &Scenario,
    peers: &Peers,
    contestants: Vec<Contestant>,
    effort: &Effort,
) -> Vec<Entry> {
    let mut all = Vec::new();
    for contestant in contestants {
        all.push(Running::start(contestant, scenario, peers, effort).await);
    }
    let requests = match scenario.calls {
        0 => usize::MAX,
        calls => PORTS / (calls * effort.rounds * 2),
    };
    let until = Until {
        time: effort.closed,
        requests,
    };
    for _ in 0..effort.rounds {
        for running in &mut all {
            running.step(async |one| one.closed(until).await).await;
        }
    }
    // The same for all that can serve it: a server that can do more than its peer is not slower
    // for that.
    let mut peers = all.iter().filter(|one| one.role == Role::Peer);
    let reached = peers.find_map(Running::per_second).unwrap_or(f64::MAX);
    for _ in 0..effort.rounds {
        for running in &mut all {
            running
                .step(async |one| one.paced(scenario, reached, until, effort).await)
                .await;
        }
    }
    let mut entries = Vec::new();
    for running in all {
        entries.push(running.finish(scenario).await);
    }
    entries
}

// === impl Running ===

impl Running {
    async fn start(
        contestant: Contestant,
        scenario: &Scenario,
        peers: &Peers,
        effort: &Effort,
    ) -> Self {
        let (name, role) = (contestant.name.clone(), contestant.role);
        let state = Measured::start(contestant, scenario, peers, effort).await;
        Self { name, role, state }
    }

    /// Returns the requests per second that it has served, as fast as it could.
    fn per_second(&self) -> Option<f64> {
        self.state.as_ref().ok()?.figures.value(Metric::PerSecond)
    }

    /// Does something with the server, unless it has failed already.
    async fn step(&mut self, step: impl AsyncFnOnce(&mut Measured) -> Result<()>) {
        if let Ok(one) = &mut self.state
            && let Err(error) = step(one).await
        {
            self.state = Err(error);
        }
    }

    async fn finish(self, scenario: &Scenario) -> Entry {
        let Self { name, role, state } = self;
        let figures = match state {
            Ok(one) => one.finish(scenario).await,
            Err(error) => Err(error),
        };
        let outcome = match figures {
            Ok(figures) => Outcome::Measured(figures),
            Err(error) => {
                println!("  NOT HAD: {name}: {error:#}");
                Outcome::NotHad(format!("{error:#}"))
            }
        };
        Entry {
            name,
            role,
            outcome,
        }
    }
}

// === impl Measured ===

impl Measured {
    /// Starts the server and sends it requests, so that its pages are mapped, instances started and
    /// caches warm.
    async fn start(
        contestant: Contestant,
        scenario: &Scenario,
        peers: &Peers,
        effort: &Effort,
    ) -> Result<Self> {
        let Contestant {
            peer,
            service,
            request,
            neighbour,
            upstream,
            ..
        } = contestant;
        if scenario.kind == Kind::Services {
            // The first start compiles the guest, which all services share.
            let one = scenario.service(None);
            let server = peers.start(peer, &one, &scenario.request(None)).await?;
            server.stop().await?;
        }
        let server = peers.start(peer, &service, &request).await?;
        let idle = server.rss()?;
        let mut clients =
            Clients::connect(server.authority(), scenario.connections, &request).await?;
        let warm_up = Until {
            time: effort.warm_up,
            requests: match scenario.calls {
                0 => usize::MAX,
                calls => OUTGOING_WARM_UP / calls,
            },
        };
        clients.load(warm_up).await?;
        server.reset_peak_rss()?;
        let neighbour = match neighbour {
            true => Some(Neighbour::of(peer, peers, &server).await?),
            false => None,
        };
        let mut figures = Figures::default();
        if scenario.kind == Kind::Services {
            let first = server.first_answer.as_secs_f64();
            figures.add(Metric::Start, first * 1e3);
        }
        Ok(Self {
            server,
            clients,
            request,
            neighbour,
            figures,
            cpu: Duration::ZERO,
            requests: 0,
            is_paced: service.telemetry == Telemetry::None && scenario.kind != Kind::Bulk,
            idle,
            _upstream: upstream,
        })
    }

    /// Sends requests as fast as they are answered.
    async fn closed(&mut self, until: Until) -> Result<()> {
        self.begin().await?;
        let before = self.server.cpu_time()?;
        let round = self.clients.load(until).await?;
        let cpu = self.server.cpu_time()?;
        self.end().await?;
        self.cpu += cpu.saturating_sub(before);
        self.requests += round.requests;
        self.figures.add(Metric::PerSecond, round.per_second());
        Ok(())
    }

    /// Sends requests at half of that rate, or of the rate that the first peer reached, if that is
    /// less.
    async fn paced(
        &mut self,
        scenario: &Scenario,
        reached: f64,
        until: Until,
        effort: &Effort,
    ) -> Result<()> {
        let Some(most) = self.figures.value(Metric::PerSecond) else {
            return Ok(());
        };
        if !self.is_paced {
            return Ok(());
        }
        let per_second = most.min(reached) / 2.0;
        let bounded = Duration::from_secs_f64(until.requests as f64 / per_second);
        let authority = self.server.authority();
        let requests = (0..scenario.connections)
            .map(|connection| self.request.raw(connection, authority))
            .collect::<Result<Vec<_>>>()?;
        let pace = Pace {
            authority: authority.to_owned(),
            requests: requests.into(),
            connections: scenario.connections,
            per_second,
            length: effort.paced.min(bounded),
        };
        self.begin().await?;
        let latencies = pace.latencies().await?;
        self.end().await?;
        self.figures.add_latencies(&latencies);
        Ok(())
    }

    async fn begin(&mut self) -> Result<()> {
        match &mut self.neighbour {
            Some(neighbour) => neighbour.begin().await,
            None => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<()> {
        match &mut self.neighbour {
            Some(neighbour) => neighbour.end(&self.server).await,
            None => Ok(()),
        }
    }

    async fn finish(mut self, scenario: &Scenario) -> Result<Figures> {
        // The CPU time of a host includes that of the guest that spins in it.
        if scenario.kind != Kind::Neighbour {
            let cpu = self.cpu.as_secs_f64() * 1e6 / self.requests as f64;
            self.figures.add(Metric::Cpu, cpu);
        }
        let peak = self.server.peak_rss()?;
        self.figures.add(Metric::Memory, mib(peak));
        if scenario.kind == Kind::Bulk {
            let growth = mib(peak.saturating_sub(self.idle));
            self.figures.add(Metric::Growth, growth);
        }
        self.server.stop().await?;
        Ok(self.figures)
    }
}
