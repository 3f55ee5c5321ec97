//! Writes the table: for a terminal, as Markdown, as JSON, and as plots.

mod json;
mod markdown;
mod svg;
pub(crate) mod terminal;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::table::effort::Effort;
use crate::table::figures::Metric;
use crate::table::machine::Machine;
use crate::table::results::Results;
use crate::table::targets::{self, Checked, Verdict};

/// All results, and where they are from.
pub(crate) struct Table {
    pub(crate) machine: Machine,
    /// The names and versions of the servers.
    pub(crate) servers: Vec<(&'static str, String)>,
    pub(crate) effort: Effort,
    pub(crate) results: Vec<Results>,
}

/// A target as text.
struct TargetRow {
    scenario: String,
    servers: String,
    metric: &'static str,
    bound: String,
    found: String,
    floor: String,
    verdict: Verdict,
}

/// A row of text: a scenario, servers, and a cell for each metric.
struct Row {
    scenario: String,
    servers: String,
    cells: Vec<Cell>,
}

/// A value as text, empty if it was not measured.
struct Cell {
    text: String,
    /// Set if it is a ratio by which a peer is ahead.
    is_behind: bool,
}

/// What is to know about the values.
const NOTES: [&str; 5] = [
    "Requests per second: keep-alive connections (32, for outgoing requests 16, for 100 and 300 MiB one) that send \
     the next request as soon as the last one is answered. The load generator runs on the same cores.",
    "CPU: of all processes of the server, by the system. Peak memory: the sum over its processes, under load.",
    "p50, p99, p99.9: from when a request is due, at fixed times, to the end of its answer, at half of the \
     requests per second that the first peer reached, or of the server's own if they are fewer.",
    "Above idle: the peak memory less the resident memory after the first answer.",
    "All are medians of rounds, with the servers in turn.",
];

/// Writes `table.md`, `table.json` and a plot for each metric.
pub(crate) fn write(table: &Table, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("table.md", markdown::table(table))?;
    write("table.json", json::table(table)?)?;
    for metric in Metric::ALL {
        if let Some(plot) = svg::plot(&table.results, metric) {
            write(&format!("{}.svg", metric.key()), plot)?;
        }
    }
    Ok(())
}

// === impl Table ===

impl Table {
    /// Returns the metrics that were measured at all.
    fn metrics(&self) -> Vec<Metric> {
        let figures = || {
            let entries = self.results.iter().flat_map(|results| &results.entries);
            entries.filter_map(|entry| entry.figures())
        };
        let mut metrics = Metric::ALL.to_vec();
        metrics.retain(|metric| figures().any(|figures| figures.value(*metric).is_some()));
        metrics
    }

    /// Returns a row for each target of the scenarios.
    fn targets(&self) -> Vec<TargetRow> {
        let all = targets::check(&self.results);
        all.iter().map(TargetRow::of).collect()
    }

    /// Returns a row of ratios for each comparison.
    fn ratios(&self) -> Vec<Row> {
        let metrics = self.metrics();
        let comparisons = self.results.iter().flat_map(|results| {
            let all = results.comparisons().into_iter();
            all.map(move |comparison| (results.title, comparison))
        });
        let rows = comparisons.map(|(title, comparison)| Row {
            scenario: title.to_owned(),
            servers: format!("{} / {}", comparison.of, comparison.to),
            cells: metrics
                .iter()
                .map(|metric| Cell::ratio(*metric, comparison.ratio(*metric), comparison.is_peer))
                .collect(),
        });
        rows.collect()
    }

    /// Returns a row of values for each server.
    fn values(&self) -> Vec<Row> {
        let metrics = self.metrics();
        let entries = self.results.iter().flat_map(|results| {
            let entries = results.entries.iter();
            entries.filter_map(move |entry| Some((results.title, entry, entry.figures()?)))
        });
        let rows = entries.map(|(title, entry, figures)| Row {
            scenario: title.to_owned(),
            servers: entry.name.clone(),
            cells: metrics
                .iter()
                .map(|metric| Cell::value(*metric, figures.value(*metric)))
                .collect(),
        });
        rows.collect()
    }

    /// Returns a line for each server that was not measured in a scenario.
    fn not_had(&self) -> Vec<String> {
        let all = self.results.iter().flat_map(|results| {
            let not_had = results.not_had();
            not_had.map(move |(server, why)| format!("{}: {server}: {why}", results.title))
        });
        all.collect()
    }
}

/// Returns the number of targets with each verdict.
fn summary(targets: &[TargetRow]) -> String {
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| {
        let all = targets.iter().filter(|target| target.verdict == verdict);
        let count = all.count();
        (count > 0).then(|| format!("{count} {}", verdict.name()))
    });
    counts.collect::<Vec<_>>().join(", ")
}

// === impl TargetRow ===

impl TargetRow {
    fn of(target: &Checked) -> Self {
        let show = |value: f64| match target.to {
            Some(_) => show_ratio(value),
            None => target.metric.show(value),
        };
        Self {
            scenario: target.title.to_owned(),
            servers: target.servers(),
            metric: target.metric.title(),
            bound: format!("{} {}", target.sign(), show(target.bound)),
            found: target.found.map_or(String::new(), show),
            floor: target.floor.map_or(String::new(), show),
            verdict: target.verdict,
        }
    }

    /// Returns its cells under these headings.
    fn cells(&self) -> [&str; 7] {
        [
            &self.scenario,
            &self.servers,
            self.metric,
            &self.bound,
            &self.found,
            &self.floor,
            self.verdict.name(),
        ]
    }

    const HEADINGS: [&str; 7] = [
        "scenario", "server", "metric", "target", "found", "floor", "verdict",
    ];
}

// === impl Cell ===

impl Cell {
    fn ratio(metric: Metric, ratio: Option<f64>, is_peer: bool) -> Self {
        Self {
            text: ratio.map_or(String::new(), show_ratio),
            is_behind: is_peer && ratio.is_some_and(|ratio| !metric.is_ahead(ratio)),
        }
    }

    fn value(metric: Metric, value: Option<f64>) -> Self {
        Self {
            text: value.map_or(String::new(), |value| metric.show(value)),
            is_behind: false,
        }
    }
}

fn show_ratio(ratio: f64) -> String {
    match ratio {
        10.0.. => format!("{ratio:.1}"),
        _ => format!("{ratio:.2}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::table::results::tests::results;

    pub(super) fn table() -> Table {
        Table {
            machine: Machine {
                processor: "A processor".to_owned(),
                cores: 2,
                ..Machine::default()
            },
            servers: vec![("headwater", "1.0".to_owned())],
            effort: Effort::of(true),
            results: vec![results()],
        }
    }

    /// Returns a table with two targets: one that a floor meets and Headwater does not, and one whose peer
    /// was not measured.
    pub(super) fn table_with_target() -> Table {
        let mut results = results();
        results.name = "wagi-small";
        results.entries[2].name = "floor".to_owned();
        Table {
            results: vec![results],
            ..table()
        }
    }

    #[test]
    fn only_measured_metrics_have_columns() {
        assert_eq!(table().metrics(), [Metric::PerSecond, Metric::Cpu]);
    }

    #[test]
    fn a_peer_that_is_ahead_is_marked_and_a_variation_is_not() {
        let table = table();
        let marks: Vec<Vec<bool>> = table
            .ratios()
            .iter()
            .map(|row| row.cells.iter().map(|cell| cell.is_behind).collect())
            .collect();
        assert_eq!(marks, [[false, false], [true, true], [false, false]]);
    }

    #[test]
    fn files_are_written_for_what_was_measured() {
        let folder = tempfile::TempDir::new().unwrap();
        write(&table(), &folder.path().join("new")).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("new"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "cpu_microseconds_per_request.svg",
                "requests_per_second.svg",
                "table.json",
                "table.md"
            ]
        );
    }

    #[test]
    fn large_ratios_have_fewer_digits() {
        assert_eq!(show_ratio(1.234), "1.23");
        assert_eq!(show_ratio(23.45), "23.4");
    }
}
