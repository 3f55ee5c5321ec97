//! The table as Markdown.

use super::{NOTES, Row, Table, TargetRow, summary};
use crate::table::figures::Metric;

/// Returns a page: the targets, the ratios, the values, and where they are from.
pub(super) fn table(table: &Table) -> String {
    let metrics = table.metrics();
    let mut text = format!("# Headwater and its peers\n\n{}\n\n", table.machine.line());
    let targets = table.targets();
    if !targets.is_empty() {
        text += &format!("## Targets\n\n{}\n\n", summary(&targets));
        text += &line(TargetRow::HEADINGS.into_iter());
        text += &line(["---", "---", "---", "---:", "---:", "---:", "---"].into_iter());
        for target in &targets {
            text += &line(target.cells().into_iter());
        }
        text.push('\n');
    }
    text += "## Ratios\n\nIn bold: the peer is ahead.\n\n";
    text += &grid(&metrics, &table.ratios());
    text += "\n## Values\n\n";
    text += &grid(&metrics, &table.values());
    let not_had = table.not_had();
    if !not_had.is_empty() {
        text += "\n## Not had\n\n";
        for line in not_had {
            text += &format!("- {line}\n");
        }
    }
    text += "\n## How it was measured\n\n";
    for note in NOTES {
        text += &format!("- {note}\n");
    }
    text += "\n| server | version |\n| --- | --- |\n";
    for (server, version) in &table.servers {
        text += &format!("| {server} | {version} |\n");
    }
    text
}

fn grid(metrics: &[Metric], rows: &[Row]) -> String {
    let titles = metrics.iter().map(|metric| metric.title());
    let mut text = line(["scenario", "server"].into_iter().chain(titles));
    let rules = metrics.iter().map(|_| "---:");
    text += &line(["---", "---"].into_iter().chain(rules));
    for row in rows {
        let cells = row.cells.iter().map(|cell| match cell.is_behind {
            true => format!("**{}**", cell.text),
            false => cell.text.clone(),
        });
        let names = [row.scenario.clone(), row.servers.clone()];
        text += &line(names.into_iter().chain(cells));
    }
    text
}

fn line(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::from("|");
    for cell in cells {
        text += &format!(" {} |", cell.as_ref());
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_a_row_with_its_floor_and_verdict() {
        let text = table(&super::super::tests::table_with_target());
        let row = "| `hello` & more | headwater | CPU/request | ≤ 38.0 µs | 50.0 µs | 25.0 µs | MISSED |\n";
        assert!(text.contains(row), "{row} is not in\n{text}");
        assert!(text.contains("## Targets\n\n1 MISSED, 1 not measured\n"));
    }

    #[test]
    fn each_comparison_and_each_server_is_a_row() {
        let text = table(&super::super::tests::table());
        for row in [
            "| scenario | server | requests/s | CPU/request |\n| --- | --- | ---: | ---: |\n",
            "| `hello` & more | headwater / slow | 2.00 | 0.50 |\n",
            "| `hello` & more | headwater / quick | **0.50** | **2.00** |\n",
            "| `hello` & more | headwater, logged / headwater | 0.90 | 1.10 |\n",
            "| `hello` & more | slow | 500 | 100.0 µs |\n",
            "- `hello` & more: absent: no package\n",
            "| headwater | 1.0 |\n",
        ] {
            assert!(text.contains(row), "{row} is not in\n{text}");
        }
    }
}
