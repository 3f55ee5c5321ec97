//! The committed counts, and the comparison with them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The difference that is no change, as a share of the baseline. Counts of the same program differ by up to a
/// percent between runs, because hash maps have random keys and ids random bytes.
pub(super) const TOLERANCE: f64 = 0.03;

/// The difference that is no change, in instructions: a small piece changes by as much if the compiler orders
/// its code differently.
const TOLERATED: u64 = 10;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Baseline {
    pub(super) compilers: Compilers,
    pub(super) counts: BTreeMap<String, u64>,
}

/// The versions that counts depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Compilers {
    pub(super) host: String,
    pub(super) guests: String,
}

/// A piece's count beside its baseline.
#[derive(Debug, PartialEq)]
pub(super) struct Compared {
    pub(super) piece: String,
    pub(super) baseline: Option<u64>,
    pub(super) now: Option<u64>,
    pub(super) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    More,
    Less,
    /// The baseline does not have the piece.
    New,
    /// The benchmark no longer has the piece.
    Gone,
}

// === impl Baseline ===

impl Baseline {
    /// Reads the file, or returns an empty baseline if there is none.
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a baseline", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let text = |name: &str| {
            let text = value["compilers"][name].as_str();
            text.map(str::to_owned)
                .with_context(|| format!("`compilers` has no `{name}`"))
        };
        let counts = value["instructions"].as_object();
        let counts = counts.context("it has no `instructions`")?.iter();
        let counts = counts.map(|(piece, count)| {
            let count = count.as_u64();
            let count = count.with_context(|| format!("`{piece}` is not a number"))?;
            Ok((piece.clone(), count))
        });
        Ok(Self {
            compilers: Compilers {
                host: text("host")?,
                guests: text("guests")?,
            },
            counts: counts.collect::<Result<_>>()?,
        })
    }

    /// Returns the text of the file: sorted, a line for each piece.
    fn text(&self) -> String {
        let Compilers { host, guests } = &self.compilers;
        let [host, guests] = [host, guests].map(|text| Value::from(text.as_str()));
        let mut text = format!(
            "{{\n  \"compilers\": {{\n    \"host\": {host},\n    \"guests\": {guests}\n  }},\n  \
             \"instructions\": {{"
        );
        for (nth, (piece, count)) in self.counts.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            let piece = Value::from(piece.as_str());
            let _ = write!(text, "{comma}\n    {piece}: {count}");
        }
        text + "\n  }\n}\n"
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.text()).with_context(|| format!("writing {}", path.display()))
    }

    /// Compares counts with it: of all pieces, or of some.
    pub(super) fn compare(&self, counts: &BTreeMap<String, u64>, all: bool) -> Vec<Compared> {
        let mut compared: Vec<Compared> = counts
            .iter()
            .map(|(piece, &now)| {
                let baseline = self.counts.get(piece).copied();
                Compared {
                    piece: piece.clone(),
                    baseline,
                    now: Some(now),
                    change: baseline.map_or(Change::New, |baseline| change(baseline, now)),
                }
            })
            .collect();
        let gone = self
            .counts
            .iter()
            .filter(|(piece, _)| all && !counts.contains_key(*piece));
        compared.extend(gone.map(|(piece, &baseline)| Compared {
            piece: piece.clone(),
            baseline: Some(baseline),
            now: None,
            change: Change::Gone,
        }));
        compared
    }

    /// Returns the baseline of these counts: of all pieces, or of some, which must be of the same compilers as
    /// the others.
    pub(super) fn updated(
        self,
        counts: BTreeMap<String, u64>,
        compilers: Compilers,
        all: bool,
    ) -> Result<Self> {
        if all {
            return Ok(Self { compilers, counts });
        }
        ensure!(
            compilers == self.compilers,
            "the baseline was recorded with other compilers ({}; here {compilers}): record all pieces",
            self.compilers
        );
        let mut updated = self;
        updated.counts.extend(counts);
        Ok(updated)
    }
}

impl fmt::Display for Compilers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, and for guests {}", self.host, self.guests)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of 2^53 would take days"
)]
fn change(baseline: u64, now: u64) -> Change {
    let tolerated = (baseline as f64 * TOLERANCE).max(TOLERATED as f64);
    if baseline.abs_diff(now) as f64 <= tolerated {
        Change::None
    } else if now > baseline {
        Change::More
    } else {
        Change::Less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
        counts
            .map(|(piece, count)| (piece.to_owned(), count))
            .into()
    }

    fn baseline() -> Baseline {
        Baseline {
            compilers: Compilers {
                host: "rustc 1".to_owned(),
                guests: "rustc 2".to_owned(),
            },
            counts: counts([("a", 10_000), ("b", 40)]),
        }
    }

    #[test]
    fn a_count_may_differ_by_the_tolerance() {
        assert_eq!(change(10_000, 10_300), Change::None);
        assert_eq!(change(10_000, 10_301), Change::More);
        assert_eq!(change(10_000, 9_700), Change::None);
        assert_eq!(change(10_000, 9_699), Change::Less);
        assert_eq!(change(40, 50), Change::None);
        assert_eq!(change(40, 51), Change::More);
    }

    #[test]
    fn pieces_come_and_go() {
        let changes = |counts: &BTreeMap<String, u64>, all| {
            let compared = baseline().compare(counts, all);
            let changes = compared.into_iter().map(|it| (it.piece, it.change));
            changes.collect::<Vec<_>>()
        };
        let now = counts([("a", 10_000), ("c", 1)]);
        let found = [("a", Change::None), ("c", Change::New), ("b", Change::Gone)];
        let found = found.map(|(piece, change)| (piece.to_owned(), change));
        assert_eq!(changes(&now, true), found);
        // If only some were counted, the others are not gone.
        assert_eq!(changes(&now, false), found[..2]);
    }

    #[test]
    fn the_file_has_a_line_for_each_piece_and_is_read_as_it_was_written() {
        let text = baseline().text();
        assert!(
            text.contains("\n    \"a\": 10000,\n    \"b\": 40\n"),
            "{text}"
        );
        assert_eq!(Baseline::parse(&text).unwrap(), baseline());
        assert!(Baseline::parse("{}").is_err());
    }

    #[test]
    fn some_pieces_are_recorded_only_with_the_compilers_of_the_others() {
        let compilers = baseline().compilers;
        let some = counts([("b", 30)]);
        let updated = baseline().updated(some.clone(), compilers, false).unwrap();
        assert_eq!(updated.counts, counts([("a", 10_000), ("b", 30)]));
        let other = Compilers::default();
        assert!(
            baseline()
                .updated(some.clone(), other.clone(), false)
                .is_err()
        );
        assert_eq!(
            baseline()
                .updated(some.clone(), other, true)
                .unwrap()
                .counts,
            some
        );
    }
}
