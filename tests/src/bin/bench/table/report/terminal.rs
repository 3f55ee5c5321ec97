//! The table for a terminal.

use std::fmt::Write;

use super::{NOTES, Row, Table};
use crate::table::figures::Metric;

/// Returns the ratios, then the values.
pub(crate) fn table(table: &Table) -> String {
    let metrics = table.metrics();
    let mut text = format!("{}\n", table.machine.line());
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
