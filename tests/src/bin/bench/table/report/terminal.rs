//! The table for a terminal.

use std::fmt::Write;

use super::{NOTES, Row, Table, TargetRow, summary};
use crate::table::figures::Metric;

/// Returns the targets, the ratios, and the values.
pub(crate) fn table(table: &Table) -> String {
    let metrics = table.metrics();
    let mut text = format!("{}\n", table.machine.line());
    let targets = table.targets();
    if !targets.is_empty() {
        text += &format!("\nTargets: {}\n\n", summary(&targets));
        text += &list(&targets);
    }
    text += "\nRatios, each with the servers that it is of. `<`: the peer is ahead.\n\n";
    text += &grid(&metrics, &table.ratios(), 8);
    text += "\nValues\n\n";
    text += &grid(&metrics, &table.values(), 11);
    for line in table.not_had() {
        text += &format!("\nNOT HAD: {line}");
    }
    for note in NOTES {
        text += &format!("\n{note}");
    }
    text.push('\n');
    text
}

/// Aligns targets.
fn list(targets: &[TargetRow]) -> String {
    let rows: Vec<[String; 7]> = [TargetRow::HEADINGS]
        .into_iter()
        .chain(targets.iter().map(TargetRow::cells))
        .map(|row| row.map(|cell| cell.replace('`', "")))
        .collect();
    let widths: [usize; 7] = std::array::from_fn(|at| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.max().unwrap_or(0) + 2
    });
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

/// Aligns rows; the name of a scenario is a line of its own.
fn grid(metrics: &[Metric], rows: &[Row], width: usize) -> String {
    let widths: Vec<usize> = metrics
        .iter()
        .map(|metric| width.max(metric.title().chars().count()) + 2)
        .collect();
    let first = rows.iter().map(|row| row.servers.chars().count() + 2);
    let first = first.max().unwrap_or(0);
    let mut text = " ".repeat(first);
    for (metric, width) in metrics.iter().zip(&widths) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:>width$} ", metric.title());
    }
    text = text.trim_end().to_owned() + "\n";
    let mut scenario = "";
    for row in rows {
        if row.scenario != scenario {
            scenario = &row.scenario;
            let _ = writeln!(text, "{}", scenario.replace('`', ""));
        }
        let mut line = format!("  {:<1$}", row.servers, first - 2);
        for (cell, width) in row.cells.iter().zip(&widths) {
            let mark = if cell.is_behind { '<' } else { ' ' };
            let _ = write!(line, "{:>width$}{mark}", cell.text);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_before_ratios_with_their_floor_and_verdict() {
        let text = table(&super::super::tests::table_with_target());
        let lines: Vec<&str> = text.lines().collect();
        let line = |start: &str| lines.iter().position(|line| line.starts_with(start));
        let targets = line("Targets: 1 MISSED, 1 not measured").unwrap();
        let cells = |at: usize| lines[at].split("  ").map(str::trim);
        let cells = |at| {
            cells(at)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            cells(targets + 4),
            [
                "hello & more",
                "headwater",
                "CPU/request",
                "≤ 38.0 µs",
                "50.0 µs",
                "25.0 µs",
                "MISSED"
            ]
        );
        assert!(targets < line("Ratios").unwrap());
    }

    #[test]
    fn ratios_are_before_values_and_peers_that_are_ahead_are_marked() {
        let text = table(&super::super::tests::table());
        let lines: Vec<&str> = text.lines().collect();
        let line = |start: &str| lines.iter().position(|line| line.starts_with(start));
        let ratio = line("  headwater / slow").unwrap();
        assert_eq!(
            lines[ratio],
            "  headwater / slow                     2.00          0.50"
        );
        assert_eq!(
            lines[line("  headwater / quick").unwrap()],
            "  headwater / quick                    0.50<         2.00<"
        );
        assert!(ratio < line("Values").unwrap());
        assert!(text.contains("NOT HAD: `hello` & more: absent: no package\n"));
    }
}
