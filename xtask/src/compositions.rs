//! Composes guests as listed in `components/composed.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::components;
use crate::fingerprint::{Fingerprint, Stamp};
use crate::process::{self, say};
use crate::workspace::Workspace;

/// Raised when the same parts are composed in a different way.
const RECIPE: &str = "1";

/// Composes everything that is not fresh from guests that are built.
pub(crate) fn run(workspace: &Workspace, stamps: &Path) -> Result<()> {
    let list = workspace.guests().join("composed.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let found = read(&text).with_context(|| format!("in {}", list.display()))?;
    let folder = workspace.components();
    let number = found.len();
    for (parts, nth) in found.iter().zip(1..) {
        let name = parts.join("-");
        let output = folder.join(&name).with_extension("wasm");
        let parts: Vec<PathBuf> = parts
            .iter()
            .map(|part| folder.join(part).with_extension("wasm"))
            .collect();
        let mut fingerprint = Fingerprint::default();
        fingerprint.text(RECIPE);
        for part in &parts {
            ensure!(
                part.is_file(),
                "{} is not a built guest: correct the parts of {name} in components/composed.txt",
                part.display()
            );
            fingerprint.files(part)?;
        }
        let stamp = Stamp::new(
            stamps.join(&name),
            &fingerprint.finish(),
            vec![output.clone()],
        );
        if stamp.is_fresh()? {
            say(format!("[{nth}/{number}] fresh {name}"));
            continue;
        }
        say(format!("[{nth}/{number}] composing {name}"));
        let building = output.with_extension("new");
        let mut compose = build::helper(workspace, "compose")?;
        compose.arg(&building).args(&parts);
        process::run(&mut compose, "The message above says why.")?;
        components::rename(&building, &output)?;
        stamp.write()?;
    }
    Ok(())
}

/// Reads the parts of each composition, one composition a line; `#` begins a comment.
fn read(text: &str) -> Result<Vec<Vec<&str>>> {
    let mut all = Vec::new();
    for (line, nth) in text.lines().zip(1..) {
        let parts: Vec<&str> = line
            .split('#')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        ensure!(
            parts.len() != 1,
            "line {nth} names only one guest: a composition needs several"
        );
        if !parts.is_empty() {
            all.push(parts);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_composition() {
        let found = read("# of these\n\na b # first\n a b c \n").unwrap();
        assert_eq!(found, [vec!["a", "b"], vec!["a", "b", "c"]]);
        assert!(read("a\n").is_err());
    }
}
