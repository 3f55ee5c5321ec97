//! Promise: the tests that `docs/explanation/hardening.md` names exist, and it has each promise
//! that a test cites.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const LIST: &str = include_str!("../../../docs/explanation/hardening.md");

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the text between backquotes in an item of the list.
fn quoted(item: &str) -> Vec<&str> {
    item.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_test_that_the_list_names_exists() -> Result<()> {
    let items: Vec<_> = LIST.split("\n- ").skip(1).collect();
    ensure!(items.len() > 100, "{} items", items.len());
    for item in items {
        let item = item.split("\n\n").next().unwrap_or_default();
        let (file, test) = match *quoted(item) {
            [file] if item.starts_with("all of") => (file.to_owned(), None),
            [test] => {
                let (file, test) = test.split_once("::").context(item)?;
                (format!("tests/tests/it/{file}.rs"), Some(test))
            }
            [test, file] => (file.to_owned(), Some(test)),
            _ => anyhow::bail!("unlike the others: {item}"),
        };
        let text = fs::read_to_string(workspace().join(&file)).with_context(|| file.clone())?;
        let Some(test) = test else { continue };
        ensure!(
            text.contains(&format!("fn {test}(")),
            "{file} has no {test}"
        );
    }
    Ok(())
}

#[test]
fn each_promise_that_a_test_cites_is_in_the_list() -> Result<()> {
    let mut cited = BTreeSet::new();
    for folder in [
        "tests/tests/it",
        "crates/server/src/tests",
        "crates/egress/src/tests",
    ] {
        for entry in fs::read_dir(workspace().join(folder)).with_context(|| folder.to_owned())? {
            let text = fs::read_to_string(entry?.path())?;
            for line in text.lines().map(str::trim_start) {
                let Some(comment) = line.strip_prefix("//") else {
                    continue;
                };
                let words = comment.split(|c: char| !c.is_alphanumeric());
                cited.extend(words.filter(|word| is_id(word)).map(str::to_owned));
            }
        }
    }
    ensure!(cited.len() > 20, "{cited:?}");
    for id in cited {
        ensure!(LIST.contains(&format!("\n### {id}: ")), "no {id}");
    }
    Ok(())
}

fn is_id(word: &str) -> bool {
    let number = word.strip_prefix(['G', 'C']);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit()))
}
