//! The results of the load, and the verdict.

use std::fmt;
use std::time::Duration;

use crate::kinds::KINDS;

/// The limit on resident memory at the end, as a multiple of that early in the run.
const MOST_GROWTH: f64 = 1.3;
/// The number of problems that are printed; the others are only counted.
const TOLD: usize = 20;

/// The results of the requests of one kind.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) as_expected: u64,
    pub(crate) refused: u64,
    pub(crate) left: u64,
    pub(crate) wrong: u64,
}

pub(crate) struct Report {
    pub(crate) tallies: Vec<Tally>,
    pub(crate) elapsed: Duration,
    pub(crate) problems: Vec<String>,
    /// Resident memory early in the run and at the end, in bytes.
    pub(crate) rss: [u64; 2],
    /// Open files before and after.
    pub(crate) files: [usize; 2],
}

impl Tally {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            as_expected: self.as_expected + other.as_expected,
            refused: self.refused + other.refused,
            left: self.left + other.left,
            wrong: self.wrong + other.wrong,
        }
    }
}

impl Report {
    #[allow(
        clippy::cast_precision_loss,
        reason = "memory is far below where floats lose whole bytes"
    )]
    fn growth(&self) -> f64 {
        self.rss[1] as f64 / self.rss[0] as f64
    }

    /// Returns the kinds that never had the result that they test for.
    fn never_as_expected(&self) -> impl Iterator<Item = &'static str> {
        let pairs = KINDS.iter().zip(&self.tallies);
        pairs
            .filter(|(_, tally)| tally.as_expected + tally.left == 0)
            .map(|(kind, _)| kind.name)
    }

    fn flat(&self) -> bool {
        self.growth() <= MOST_GROWTH
    }

    fn closed(&self) -> bool {
        self.files[1] <= self.files[0]
    }

    pub(crate) fn good(&self) -> bool {
        self.problems.is_empty()
            && self.flat()
            && self.closed()
            && self.never_as_expected().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24}{:>9}{:>13}{:>9}{:>9}{:>8}",
            "", "sent", "as expected", "refused", "left", "wrong"
        )?;
        let total = self.tallies.iter().cloned();
        let total = total.fold(Tally::default(), Tally::plus);
        let rows = KINDS.iter().map(|kind| kind.name).zip(&self.tallies);
        for (name, tally) in rows.chain([("all", &total)]) {
            writeln!(
                f,
                "{name:<24}{:>9}{:>13}{:>9}{:>9}{:>8}",
                tally.sent, tally.as_expected, tally.refused, tally.left, tally.wrong
            )?;
        }
        writeln!(f, "\nin {:.0} s\n", self.elapsed.as_secs_f64())?;
        for problem in self.problems.iter().take(TOLD) {
            writeln!(f, "wrong: {problem}")?;
        }
        if self.problems.len() > TOLD {
            writeln!(f, "… and {} more", self.problems.len() - TOLD)?;
        }
        for name in self.never_as_expected() {
            writeln!(f, "wrong: {name}: not one request came to what it is for")?;
        }
        let verdict = |met| if met { "met" } else { "MISSED" };
        let [early, late] = self.rss.map(|bytes| bytes >> 20);
        writeln!(
            f,
            "target: all answered as expected, or gone of their own accord: {}",
            verdict(self.problems.is_empty())
        )?;
        writeln!(
            f,
            "target: at most {MOST_GROWTH} times the memory of the beginning: {early} MiB, then \
             {late} MiB, {:.2}, {}",
            self.growth(),
            verdict(self.flat())
        )?;
        write!(
            f,
            "target: no more files open than before: {}, then {}, {}",
            self.files[0],
            self.files[1],
            verdict(self.closed())
        )
    }
}
