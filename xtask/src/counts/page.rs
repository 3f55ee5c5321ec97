//! The table of counts in the documentation.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::baseline::Baseline;
use super::report::grouped;
use crate::workspace::Workspace;

/// The page with the table: a row says what is counted of a piece.
pub(super) const PAGE: &str = "docs/explanation/performance.md";

/// Writes the counts into the page.
pub(super) fn update(workspace: &Workspace, baseline: &Baseline) -> Result<()> {
    let path = workspace.root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
    fs::write(&path, with_counts(&page, &baseline.counts)?)
        .with_context(|| format!("writing {PAGE}"))
}

/// Returns the page with these counts in the second column.
fn with_counts(page: &str, counts: &BTreeMap<String, u64>) -> Result<String> {
    let mut without_row: Vec<&str> = counts.keys().map(String::as_str).collect();
    let mut with_counts = String::with_capacity(page.len());
    for line in page.lines() {
        let row = row(line).and_then(|(piece, what)| Some((piece, counts.get(piece)?, what)));
        match row {
            Some((piece, count, what)) => {
                without_row.retain(|other| *other != piece);
                with_counts += &format!("| `{piece}` | {} | {what}", grouped(*count));
            }
            None => with_counts += line,
        }
        with_counts.push('\n');
    }
    ensure!(
        without_row.is_empty(),
        "the table in {PAGE} has no row for {}: add one that says what is counted",
        without_row.join(", ")
    );
    Ok(with_counts)
}

/// Returns the piece of a row, and what follows its count.
fn row(line: &str) -> Option<(&str, &str)> {
    let (piece, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let (_count, what) = rest.split_once(" | ")?;
    Some((piece, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_in_the_rows_of_their_pieces() {
        let counts = BTreeMap::from([("wagi.request".to_owned(), 12_345)]);
        let page = "| piece | instructions | what |\n| --- | --- | --- |\n\
                    | `wagi.request` | 7 | a request |\n| `other` | 8 | else |\n";
        let updated = page.replace("| 7 |", "| 12,345 |");
        assert_eq!(with_counts(page, &counts).unwrap(), updated);
        let error = with_counts("", &counts).unwrap_err().to_string();
        assert!(error.contains("no row for wagi.request:"), "{error}");
    }

    #[test]
    fn the_documentation_has_the_counts_of_the_baseline() {
        let workspace = Workspace::find().unwrap();
        let baseline = Baseline::read(&workspace.root.join(super::super::BASELINE)).unwrap();
        assert!(!baseline.counts.is_empty());
        let page = fs::read_to_string(workspace.root.join(PAGE)).unwrap();
        assert_eq!(
            with_counts(&page, &baseline.counts).unwrap(),
            page,
            "run `cargo xtask bench --check --update`"
        );
    }
}
