//! The results of a scenario, and the comparisons that they allow.

use crate::table::figures::{Figures, Metric};

/// A scenario that was measured.
pub(crate) struct Results {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) entries: Vec<Entry>,
}

/// A server in a scenario.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) outcome: Outcome,
}

/// What a server is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Headwater, to which the peers are compared.
    Ours,
    Peer,
    /// The server of the entry with this index in other circumstances; it is compared with that.
    Variation(usize),
}

pub(crate) enum Outcome {
    Measured(Figures),
    /// Not measured, for this reason.
    NotHad(String),
}

/// The ratios of one server to another.
pub(crate) struct Comparison {
    /// The server above the line, and the one below.
    pub(crate) of: String,
    pub(crate) to: String,
    pub(crate) is_peer: bool,
    /// For each of [`Metric::ALL`].
    pub(crate) ratios: [Option<f64>; Metric::ALL.len()],
}

// === impl Results ===

impl Results {
    /// Returns the comparisons of Headwater with each peer, and of each variation with what it
    /// varies.
    pub(crate) fn comparisons(&self) -> Vec<Comparison> {
        let ours = self
            .entries
            .iter()
            .position(|entry| entry.role == Role::Ours);
        let mut all = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let (of, to) = match entry.role {
                Role::Ours => continue,
                Role::Peer => (ours, at),
                Role::Variation(base) => (Some(at), base),
            };
            let of = of.and_then(|of| self.measured(of));
            if let (Some((of, above)), Some((to, below))) = (of, self.measured(to)) {
                all.push(Comparison {
                    of: of.to_owned(),
                    to: to.to_owned(),
                    is_peer: entry.role == Role::Peer,
                    ratios: Metric::ALL.map(|metric| above.ratio(below, metric)),
                });
            }
        }
        all
    }

    /// Returns the servers that were not measured, and why.
    pub(crate) fn not_had(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.outcome {
                Outcome::NotHad(why) => Some((entry.name.as_str(), why.as_str())),
                Outcome::Measured(_) => None,
            })
    }

    /// Returns the values of the server with this name.
    pub(crate) fn figures(&self, name: &str) -> Option<&Figures> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.name == name)?.figures()
    }

    fn measured(&self, at: usize) -> Option<(&str, &Figures)> {
        let entry = self.entries.get(at)?;
        Some((&entry.name, entry.figures()?))
    }
}

// === impl Entry ===

impl Entry {
    pub(crate) fn figures(&self) -> Option<&Figures> {
        match &self.outcome {
            Outcome::Measured(figures) => Some(figures),
            Outcome::NotHad(_) => None,
        }
    }
}

// === impl Comparison ===

impl Comparison {
    pub(crate) fn ratio(&self, metric: Metric) -> Option<f64> {
        let all = Metric::ALL.into_iter().zip(self.ratios);
        all.into_iter()
            .find(|(of, _)| *of == metric)
            .and_then(|(_, ratio)| ratio)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns results of four servers, one of which was not had.
    pub(in crate::table) fn results() -> Results {
        let measured = |per_second, cpu| {
            let mut figures = Figures::default();
            figures.add(Metric::PerSecond, per_second);
            figures.add(Metric::Cpu, cpu);
            Outcome::Measured(figures)
        };
        let entry = |name: &str, role, outcome| Entry {
            name: name.to_owned(),
            role,
            outcome,
        };
        Results {
            name: "hello",
            title: "`hello` & more",
            entries: vec![
                entry("headwater", Role::Ours, measured(1000.0, 50.0)),
                entry("slow", Role::Peer, measured(500.0, 100.0)),
                entry("quick", Role::Peer, measured(2000.0, 25.0)),
                entry(
                    "absent",
                    Role::Peer,
                    Outcome::NotHad("no package".to_owned()),
                ),
                entry(
                    "headwater, logged",
                    Role::Variation(0),
                    measured(900.0, 55.0),
                ),
            ],
        }
    }

    #[test]
    fn headwater_is_compared_with_peers_and_variations_with_headwater() {
        let all = results().comparisons();
        let all: Vec<_> = all
            .iter()
            .map(|one| {
                let ratio = one.ratio(Metric::PerSecond).unwrap();
                (one.of.as_str(), one.to.as_str(), ratio)
            })
            .collect();
        assert_eq!(
            all,
            [
                ("headwater", "slow", 2.0),
                ("headwater", "quick", 0.5),
                ("headwater, logged", "headwater", 0.9)
            ]
        );
    }

    #[test]
    fn what_was_not_had_is_named_with_the_reason() {
        let results = results();
        let all: Vec<_> = results.not_had().collect();
        assert_eq!(all, [("absent", "no package")]);
    }
}
