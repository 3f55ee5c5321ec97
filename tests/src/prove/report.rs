//! The counts, and whether they prove anything.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::judge::Verdict;
use super::mix::{DIRECT, EARLY, EARLY_RULING, Of, Rule, SERVICES};
use super::observed::Client;

/// Problems that are told; of more, the number.
const TOLD: usize = 20;

/// What a run came to. Its text is the table.
#[derive(Debug)]
pub struct Report {
    /// What the choices were drawn by.
    pub seed: u64,
    /// Calls that were asked for.
    pub wanted: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// How long they took.
    pub elapsed: Duration,
    rows: BTreeMap<Place, Row>,
    problems: Vec<String>,
}

/// What is counted together: the calls that one rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Kind { service: usize, kind: usize, of: Of },
    Early,
}

#[derive(Debug, Default)]
struct Row {
    right: u64,
    wrong: u64,
    unknown: u64,
    ambiguous: u64,
    /// Of the ambiguous, those that have the right request among their candidates.
    named: u64,
    by: BTreeMap<(Box<str>, Box<str>), u64>,
}

impl Report {
    pub(super) fn new(seed: u64, wanted: u64, requests: u64, elapsed: Duration) -> Self {
        Self {
            seed,
            wanted,
            requests,
            elapsed,
            rows: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, place: Place, verdict: Verdict, named: bool, client: &Client) {
        let row = self.rows.entry(place).or_default();
        row.named += u64::from(named && verdict == Verdict::Ambiguous);
        *match verdict {
            Verdict::Right => &mut row.right,
            Verdict::Wrong => &mut row.wrong,
            Verdict::Unknown => &mut row.unknown,
            Verdict::Ambiguous => &mut row.ambiguous,
        } += 1;
        let by = (client.verdict.clone(), client.witness.clone());
        *row.by.entry(by).or_default() += 1;
    }

    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// All calls that were judged.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.rows.values().map(Row::calls).sum()
    }

    /// Calls that were attributed to another request, beyond the documented limit.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.proven().map(|(_, row)| row.wrong).sum()
    }

    /// Whether all is as documented, and all that is documented was seen.
    #[must_use]
    pub fn good(&self) -> bool {
        self.problems.is_empty() && self.wrong() == 0 && self.calls() >= self.wanted
    }

    /// Notes what was not seen although it should be: without it the run proves less than it says.
    pub(super) fn look_for_what_is_missing(&mut self) {
        let mut missing = Vec::new();
        for (place, rule) in Place::all() {
            let row = self.rows.get(&place);
            let first = rule.map_or(EARLY_RULING, |rule| rule.allowed[0]);
            let seen = row.is_some_and(|row| row.by(first.0, first.1) > 0);
            if !seen {
                missing.push(format!("no call was {} ({}): {place}", first.0, first.1));
            }
            let Some(most) = rule.and_then(|rule| rule.most_wrong) else {
                continue;
            };
            if row.is_none_or(|row| row.wrong + row.ambiguous == 0) {
                missing.push(format!(
                    "no work was done in another's task, so witnesses were not needed: {place}"
                ));
            }
            if row.is_some_and(|row| row.exceeds(most)) {
                missing.push(format!("more than {most} of 100 calls are wrong: {place}"));
            }
        }
        self.problems.append(&mut missing);
    }

    /// The rows of the table in `docs/explanation/attribution-proof.md`, in its form: what came of each idiom, by language.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| language | idiom | calls | exact and right | wrong | ambiguous (its own request named) | unknown |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (place, row) in &self.rows {
            let Some((language, idiom)) = place.idiom() else {
                continue;
            };
            let Row {
                right,
                wrong,
                ambiguous,
                named,
                unknown,
                ..
            } = row;
            let calls = row.calls();
            // A string takes what is written to it.
            let _ = writeln!(
                text,
                "| {language} | {idiom} | {calls} | {right} | {wrong} | {ambiguous} ({named}) | {unknown} |"
            );
        }
        text
    }

    fn proven(&self) -> impl Iterator<Item = (&Place, &Row)> {
        self.rows.iter().filter(|(place, _)| !place.is_limit())
    }

    fn limits(&self) -> impl Iterator<Item = (&Place, &Row)> {
        self.rows.iter().filter(|(place, _)| place.is_limit())
    }
}

impl Place {
    fn all() -> impl Iterator<Item = (Self, Option<&'static Rule>)> {
        let services = SERVICES.iter().enumerate();
        let here = services.filter(|(_, service)| service.is_here());
        let kinds = here.flat_map(|(service, entry)| {
            let kinds = entry.kinds.iter().enumerate();
            kinds
                .filter(|(_, kind)| kind.is_steady())
                .flat_map(move |(kind, entry)| {
                    let rules = entry.rules.iter();
                    let there = move |rule: &&Rule| rule.of != Of::One(DIRECT) || entry.direct;
                    rules.filter(there).map(move |rule| {
                        let of = rule.of;
                        (Self::Kind { service, kind, of }, Some(rule))
                    })
                })
        });
        kinds.chain([(Self::Early, None)])
    }

    fn is_limit(self) -> bool {
        let Self::Kind { service, kind, of } = self else {
            return false;
        };
        let mut rules = SERVICES[service].kinds[kind].rules.iter();
        rules.any(|rule| rule.of == of && rule.most_wrong.is_some())
    }

    /// The language, and what is done in it.
    fn idiom(self) -> Option<(&'static str, &'static str)> {
        let Self::Kind { service, kind, .. } = self else {
            return None;
        };
        let kind = &SERVICES[service].kinds[kind];
        let language = SERVICES[service].language.filter(|_| kind.is_steady())?;
        Some((language, kind.mode))
    }

    /// Guest and mode.
    fn names(self) -> (&'static str, String) {
        match self {
            Self::Early => (EARLY, "while it is instantiated".to_owned()),
            Self::Kind { service, kind, of } => {
                let service = &SERVICES[service];
                let mode = service.kinds[kind].mode;
                let which = match of {
                    Of::Rest => String::new(),
                    Of::One(DIRECT) => ": its own call".to_owned(),
                    Of::One(number) => format!(": call {number}"),
                };
                (service.name, format!("{mode}{which}"))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (guest, mode) = self.names();
        write!(f, "{guest}, {mode}")
    }
}

impl Row {
    fn calls(&self) -> u64 {
        self.right + self.wrong + self.unknown + self.ambiguous
    }

    /// Whether more than so many percent are wrong.
    fn exceeds(&self, most_wrong: u8) -> bool {
        self.wrong * 100 > self.calls() * u64::from(most_wrong)
    }

    fn by(&self, verdict: &str, witness: &str) -> u64 {
        let by = self.by.get(&(verdict.into(), witness.into()));
        by.copied().unwrap_or(0)
    }

    fn plus(mut self, other: &Self) -> Self {
        self.right += other.right;
        self.wrong += other.wrong;
        self.unknown += other.unknown;
        self.ambiguous += other.ambiguous;
        self.named += other.named;
        for (by, count) in &other.by {
            *self.by.entry(by.clone()).or_default() += count;
        }
        self
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, guest: &str, mode: &str) -> fmt::Result {
        let by = self.by.iter();
        let by: Vec<String> = by
            .map(|((verdict, witness), count)| format!("{verdict} ({witness}) {count}"))
            .collect();
        writeln!(
            f,
            "{guest:<19}{mode:<37}{:>8}{:>8}{:>7}{:>8}{:>10}{:>7}  {}",
            self.calls(),
            self.right,
            self.wrong,
            self.unknown,
            self.ambiguous,
            self.named,
            by.join(", ")
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |f: &mut fmt::Formatter<'_>| {
            writeln!(
                f,
                "{:<56}{:>8}{:>8}{:>7}{:>8}{:>10}{:>7}  verdict (witness)",
                "", "calls", "right", "wrong", "unknown", "ambiguous", "named"
            )
        };
        head(f)?;
        let mut all = Row::default();
        for (place, row) in self.proven() {
            let (guest, mode) = place.names();
            row.write(f, guest, &mode)?;
            all = all.plus(row);
        }
        all.write(f, "all", "")?;
        writeln!(
            f,
            "\nThe documented limit: work that is done in another's task, and leaves no mark. The task \
             that polls it may be named.\n"
        )?;
        head(f)?;
        for (place, row) in self.limits() {
            let (guest, mode) = place.names();
            row.write(f, guest, &mode)?;
        }
        writeln!(
            f,
            "\n{} requests and {} calls in {:.0} s, by the seed {}\n",
            self.requests,
            self.calls(),
            self.elapsed.as_secs_f64(),
            self.seed
        )?;
        for service in SERVICES.iter().filter(|service| !service.is_here()) {
            writeln!(f, "SKIPPED {}: its guest was not built", service.name)?;
        }
        for problem in self.problems.iter().take(TOLD) {
            writeln!(f, "problem: {problem}")?;
        }
        if self.problems.len() > TOLD {
            writeln!(f, "… and {} more", self.problems.len() - TOLD)?;
        }
        let verdict = if self.good() { "PROVEN" } else { "NOT PROVEN" };
        write!(
            f,
            "{} of {} calls wrong, each call made as it should be, and nothing unknown or ambiguous \
             beyond what is documented: {verdict}",
            self.wrong(),
            all.calls()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_for_as_many_wrong_calls_as_it_says_and_no_more() {
        let row = Row {
            right: 4,
            wrong: 3,
            ambiguous: 2,
            unknown: 1,
            ..Row::default()
        };
        assert!(!row.exceeds(30));
        assert!(row.exceeds(29));
        assert!(!Row::default().exceeds(0));
    }

    #[test]
    fn the_table_has_idioms_of_each_language_and_no_other_rows() {
        let mut report = Report::new(1, 0, 0, Duration::ZERO);
        for (place, _) in Place::all() {
            report.rows.insert(place, Row::default());
        }
        let table = report.table();
        for row in [
            "| Rust | pool, token |",
            "| C | worker by a timer |",
            "| Rust | after the response |",
        ] {
            assert!(table.contains(row), "{row}: {table}");
        }
        assert!(!table.contains("all callers gone"), "{table}");
    }
}
