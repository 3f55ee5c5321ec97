//! The targets that Headwater has in the table, and the verdicts on them.

use crate::table::figures::{Figures, Metric};
use crate::table::lineup::{LAZY, METRICS, TRACES_1, TRACES_100};
use crate::table::peer::Peer;
use crate::table::results::Results;

/// A bound for a metric of Headwater: the least of requests per second, the most of everything else.
struct Target {
    /// The scenario; `None`: each that measures the metric of both servers.
    scenario: Option<&'static str>,
    metric: Metric,
    kind: Kind,
    bound: f64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A ratio to a peer.
    Beside(Peer),
    /// A value.
    Value,
    /// A ratio of this variation of Headwater to Headwater.
    Variation(&'static str),
    /// A value of this variation.
    ValueOf(&'static str),
}

const WASMTIME: Kind = Kind::Beside(Peer::Wasmtime);
const HYPER: Kind = Kind::Beside(Peer::Hyper);
const CGI: Kind = Kind::Beside(Peer::Cgi);

/// All targets. That of attribution's share is in the benchmark of the parts: it is far below what
/// rounds over sockets can tell apart.
const TARGETS: &[Target] = &[
    target("hello-0.3", Metric::PerSecond, WASMTIME, 1.6),
    target("hello-0.3", Metric::Cpu, WASMTIME, 0.62),
    target("hello-0.3", Metric::PerSecond, HYPER, 0.5),
    target(
        "hello-0.3",
        Metric::PerSecond,
        Kind::Variation(TRACES_1),
        0.98,
    ),
    target(
        "hello-0.3",
        Metric::PerSecond,
        Kind::Variation(TRACES_100),
        0.85,
    ),
    target(
        "hello-0.3",
        Metric::PerSecond,
        Kind::Variation(METRICS),
        0.96,
    ),
    target("hello-0.2", Metric::PerSecond, WASMTIME, 2.5),
    target("outgoing-1", Metric::PerSecond, WASMTIME, 2.3),
    target("wagi-small", Metric::PerSecond, CGI, 20.0),
    target("wagi-small", Metric::Cpu, Kind::Value, 38.0),
    target("down-300m", Metric::PerSecond, WASMTIME, 1.2),
    target("down-300m", Metric::Growth, Kind::Value, 32.0),
    target("up-300m", Metric::PerSecond, WASMTIME, 1.2),
    target("up-300m", Metric::Growth, Kind::Value, 32.0),
    target("echo-300m", Metric::PerSecond, WASMTIME, 1.2),
    target("echo-300m", Metric::Growth, Kind::Value, 32.0),
    target("pass-300m", Metric::PerSecond, WASMTIME, 1.2),
    target("pass-300m", Metric::Growth, Kind::Value, 32.0),
    target("start-small", Metric::Start, WASMTIME, 0.45),
    target("start-large", Metric::Start, WASMTIME, 0.9),
    target("services", Metric::Memory, Kind::ValueOf(LAZY), 300.0),
    target("services", Metric::Start, Kind::ValueOf(LAZY), 1_000.0),
    Target {
        scenario: None,
        metric: Metric::P99,
        kind: WASMTIME,
        bound: 0.7,
    },
];

/// The distance to the floor that counts as having reached it.
const NEAR: f64 = 0.1;

/// A target with what was measured.
pub(crate) struct Checked {
    pub(crate) scenario: &'static str,
    pub(crate) title: &'static str,
    pub(crate) metric: Metric,
    /// The server that the target is for, and the one below the line of a ratio.
    pub(crate) of: String,
    pub(crate) to: Option<String>,
    pub(crate) bound: f64,
    pub(crate) found: Option<f64>,
    /// The same of the best floor, if there is one.
    pub(crate) floor: Option<f64>,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// The floor misses it as well, and Headwater is within 10 percent of the floor.
    AtFloor,
    Missed,
    /// A server was not had.
    NotMeasured,
}

const fn target(scenario: &'static str, metric: Metric, kind: Kind, bound: f64) -> Target {
    Target {
        scenario: Some(scenario),
        metric,
        kind,
        bound,
    }
}

/// Compares the results with the targets of their scenarios.
pub(crate) fn check(results: &[Results]) -> Vec<Checked> {
    let all = TARGETS.iter().flat_map(|target| {
        let measured = results.iter().filter_map(|results| target.check(results));
        measured.collect::<Vec<_>>()
    });
    all.collect()
}

// === impl Target ===

impl Target {
    /// Returns `None` if the target is not for this scenario.
    fn check(&self, results: &Results) -> Option<Checked> {
        let Self {
            scenario,
            metric,
            kind,
            bound,
        } = *self;
        if scenario.is_some_and(|scenario| scenario != results.name) {
            return None;
        }
        let ours = Peer::Headwater.name();
        let (of, to) = match kind {
            Kind::Beside(peer) => (ours.to_owned(), Some(peer.name())),
            Kind::Value => (ours.to_owned(), None),
            Kind::Variation(what) => (format!("{ours}, {what}"), Some(ours)),
            Kind::ValueOf(what) => (format!("{ours}, {what}"), None),
        };
        let found = |of: &Figures| match to {
            Some(to) => of.ratio(results.figures(to)?, metric),
            None => of.value(metric),
        };
        let measured = results.figures(&of);
        let value = measured.and_then(found);
        if scenario.is_none() && value.is_none() {
            return None;
        }
        // There is none of a variation.
        let floors = match kind {
            Kind::Beside(_) | Kind::Value => &[Peer::Floor, Peer::FloorPerCore][..],
            Kind::Variation(_) | Kind::ValueOf(_) => &[],
        };
        let floors = floors.iter().filter_map(|floor| {
            let figures = results.figures(floor.name())?;
            Some((found(figures)?, measured?.ratio(figures, metric)?))
        });
        let floor = floors.reduce(|one, other| match metric.is_ahead(one.0 / other.0) {
            true => one,
            false => other,
        });
        Some(Checked {
            scenario: results.name,
            title: results.title,
            metric,
            of,
            to: to.map(str::to_owned),
            bound,
            found: value,
            floor: floor.map(|(floor, _)| floor),
            verdict: verdict(metric, bound, value, floor),
        })
    }
}

/// Judges a value by the bound, and by the floor's value and the distance to it as a ratio.
fn verdict(metric: Metric, bound: f64, value: Option<f64>, floor: Option<(f64, f64)>) -> Verdict {
    let meets = |value: f64| metric.is_ahead(value / bound);
    let near = match metric.is_ahead(2.0) {
        true => 1.0 - NEAR,
        false => 1.0 + NEAR,
    };
    match (value, floor) {
        (None, _) => Verdict::NotMeasured,
        (Some(value), _) if meets(value) => Verdict::Met,
        (_, Some((floor, ratio))) if !meets(floor) && metric.is_ahead(ratio / near) => {
            Verdict::AtFloor
        }
        _ => Verdict::Missed,
    }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) const ALL: [Self; 4] = [Self::Met, Self::AtFloor, Self::Missed, Self::NotMeasured];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::AtFloor => "within 10 % of the floor",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
        }
    }

    /// Returns its name in `table.json`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::AtFloor => "at_floor",
            Self::Missed => "missed",
            Self::NotMeasured => "not_measured",
        }
    }
}

// === impl Checked ===

impl Checked {
    /// Returns the names of the servers, as in the table of ratios.
    pub(crate) fn servers(&self) -> String {
        match &self.to {
            Some(to) => format!("{} / {to}", self.of),
            None => self.of.clone(),
        }
    }

    /// Returns the sign between a value and the bound.
    pub(crate) fn sign(&self) -> char {
        match self.metric.is_ahead(2.0) {
            true => '≥',
            false => '≤',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::results::{Entry, Outcome, Role};
    use crate::table::scenario::Scenario;

    fn results(values: &[(&str, f64)]) -> Results {
        let entries = values.iter().map(|(name, value)| {
            let mut figures = Figures::default();
            figures.add(Metric::PerSecond, *value);
            Entry {
                name: (*name).to_owned(),
                role: Role::Peer,
                outcome: Outcome::Measured(figures),
            }
        });
        Results {
            name: "hello-0.2",
            title: "",
            entries: entries.collect(),
        }
    }

    /// Returns the verdict on the one target of this scenario.
    fn verdict_on(ours: f64, floors: [f64; 2]) -> Verdict {
        let all = check(&[results(&[
            ("headwater", ours),
            ("wasmtime serve", 100.0),
            ("floor", floors[0]),
            ("floor, per core", floors[1]),
        ])]);
        let [one] = all.as_slice() else {
            panic!("{} targets", all.len());
        };
        assert_eq!(one.servers(), "headwater / wasmtime serve");
        assert_eq!(one.floor, Some(floors[0].max(floors[1]) / 100.0));
        one.verdict
    }

    #[test]
    fn a_target_below_the_floor_is_reached_within_ten_percent_of_the_best_floor() {
        assert_eq!(verdict_on(250.0, [300.0, 310.0]), Verdict::Met);
        assert_eq!(verdict_on(220.0, [240.0, 230.0]), Verdict::AtFloor);
        assert_eq!(verdict_on(200.0, [200.0, 240.0]), Verdict::Missed);
        // The floor meets it.
        assert_eq!(verdict_on(240.0, [250.0, 100.0]), Verdict::Missed);
    }

    #[test]
    fn less_of_everything_but_requests_is_better() {
        let cpu = |value, floor| verdict(Metric::Cpu, 38.0, Some(value), floor);
        assert_eq!(cpu(38.0, None), Verdict::Met);
        assert_eq!(cpu(44.0, Some((40.5, 1.09))), Verdict::AtFloor);
        assert_eq!(cpu(46.0, Some((40.5, 1.14))), Verdict::Missed);
        assert_eq!(cpu(39.0, None), Verdict::Missed);
    }

    #[test]
    fn a_target_is_not_measured_without_the_peer_and_absent_without_the_scenario() {
        let all = check(&[results(&[("headwater", 1.0)])]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].verdict, Verdict::NotMeasured);
        assert!(check(&[]).is_empty());
    }

    #[test]
    fn each_target_is_for_a_scenario_with_its_peer() {
        let scenarios = Scenario::all();
        for target in TARGETS {
            let mut scenarios = scenarios.iter();
            let found = scenarios.find(|scenario| {
                target.scenario.is_none_or(|name| name == scenario.name)
                    && match target.kind {
                        Kind::Beside(peer) => scenario.peers.contains(&peer),
                        _ => true,
                    }
            });
            assert!(found.is_some(), "{:?} {:?}", target.scenario, target.kind);
        }
    }
}
