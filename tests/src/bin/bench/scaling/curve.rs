//! Hosts that differ in one number, loaded in turn.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_tests::Host;

use crate::load::{Round, Target};
use crate::speed::Figures;

/// The length of a round. The system counts CPU time in steps of 10 ms; five rounds are about two
/// hundred of them.
const ROUND: Duration = Duration::from_millis(600);

/// Requests before the measurement, from which the length of a round is estimated, too.
const WARM_UP: usize = 2_000;

/// One of the hosts that are compared.
pub(super) struct Case {
    label: String,
    target: Target,
    rounds: Vec<Round>,
}

/// The result: the cost of a request at each number.
pub(super) struct Curve {
    pub(super) what: &'static str,
    points: Vec<Point>,
}

struct Point {
    label: String,
    figures: Figures,
}

// === impl Case ===

impl Case {
    /// Connects to a host. `label` is its number.
    pub(super) async fn new(label: impl ToString, host: Host, path: &str) -> Result<Self> {
        let label = label.to_string();
        let target = Target::connect(host, path).await;
        Ok(Self {
            target: target.with_context(|| format!("the host with {label}"))?,
            label,
            rounds: Vec::new(),
        })
    }

    /// Sends requests that are not measured.
    pub(super) async fn warm_up(&mut self) -> Result<Round> {
        self.target.load(WARM_UP).await
    }

    /// Sends this number of requests and measures them.
    pub(super) async fn round(&mut self, requests: usize) -> Result<()> {
        let round = self.target.load(requests).await;
        let round = round.with_context(|| format!("the host with {}", self.label))?;
        self.rounds.push(round);
        Ok(())
    }

    /// Adds the rounds of another host with the same number.
    pub(super) fn add(&mut self, other: Self) {
        self.rounds.extend(other.rounds);
    }

    /// Sends requests until this time is over, or there were so many. Returns their number.
    pub(super) async fn age(&mut self, time: Duration, most: usize) -> Result<usize> {
        let (started, mut sent) = (Instant::now(), 0);
        while started.elapsed() < time && sent < most {
            sent += self.target.load(WARM_UP).await?.requests;
        }
        Ok(sent)
    }

    pub(super) fn relabel(&mut self, label: impl ToString) {
        self.label = label.to_string();
    }

    fn point(self) -> Result<Point> {
        let rss = self.target.server.process().rss()?;
        Ok(Point {
            figures: Figures::new(&self.rounds, rss),
            label: self.label,
        })
    }
}

// === impl Curve ===

impl Curve {
    /// Loads the hosts in turn.
    pub(super) async fn of(
        what: &'static str,
        mut cases: Vec<Case>,
        rounds: usize,
    ) -> Result<Self> {
        let mut requests = usize::MAX;
        for case in &mut cases {
            let warm_up = case.warm_up().await?;
            // All have as many requests in a round as the slowest one.
            requests = requests.min((warm_up.per_second() * ROUND.as_secs_f64()) as usize);
        }
        for _ in 0..rounds {
            for case in &mut cases {
                case.round(requests.max(1)).await?;
            }
        }
        Self::measured(what, cases)
    }

    /// Takes the measured rounds of hosts.
    pub(super) fn measured(what: &'static str, cases: Vec<Case>) -> Result<Self> {
        let points = cases.into_iter().map(Case::point);
        Ok(Self {
            what,
            points: points.collect::<Result<_>>()?,
        })
    }

    /// Returns the highest ratio to the first host, and the number of that host.
    pub(super) fn highest(&self) -> (&str, f64) {
        let ratios = self.points.iter().skip(1);
        let ratios = ratios.map(|point| (&*point.label, self.ratio(point)));
        ratios
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .unwrap_or(("", f64::NAN))
    }

    pub(super) fn ratios(&self) -> String {
        self.line(|point| format!("{:.2}", self.ratio(point)))
    }

    pub(super) fn values(&self) -> String {
        self.line(|point| {
            let Figures {
                cpu_micros,
                per_second,
                ..
            } = &point.figures;
            format!("{cpu_micros:.1} µs {per_second:.0}/s")
        })
    }

    fn ratio(&self, point: &Point) -> f64 {
        let first = self.points.first();
        let first = first.map_or(f64::NAN, |first| first.figures.cpu_micros);
        point.figures.cpu_micros / first
    }

    fn line(&self, value: impl Fn(&Point) -> String) -> String {
        let mut line = format!("  {:<28}", self.what);
        for point in &self.points {
            // Writing to a string does not fail.
            let _ = write!(line, "  {}: {:<14}", point.label, value(point));
        }
        line.trim_end().to_owned()
    }
}
