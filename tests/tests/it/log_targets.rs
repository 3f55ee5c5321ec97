//! Promise: `docs/reference/logs.md` has every target of the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const LIST: &str = include_str!("../../../docs/reference/logs.md");

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// Returns the target of records in a file of a crate that name none: the path of the code, as far
/// as the list has it.
fn default_target(name: &str, file: &Path) -> String {
    let first = file.iter().next().unwrap_or_default().to_string_lossy();
    match name {
        "headwater" => format!("headwater::{}", first.trim_end_matches(".rs")),
        name => format!("headwater_{name}"),
    }
}

#[test]
fn each_target_of_the_log_is_in_the_list() -> Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut targets = BTreeSet::new();
    for entry in fs::read_dir(&crates)? {
        let entry = entry?;
        let (name, folder) = (entry.file_name(), entry.path().join("src"));
        for file in files(&folder)? {
            let text = fs::read_to_string(&file)?;
            let text = text.split("#[cfg(test)]\nmod tests {").next();
            let text = text.unwrap_or_default();
            for level in ["error", "warn", "info", "debug"] {
                for record in text.split(&format!("tracing::{level}!(")).skip(1) {
                    let named = record.trim_start().strip_prefix("target: \"");
                    let named = named.and_then(|rest| rest.split('"').next());
                    let file = file.strip_prefix(&folder)?;
                    let default = || default_target(&name.to_string_lossy(), file);
                    targets.insert(named.map_or_else(default, ToOwned::to_owned));
                }
            }
        }
    }
    ensure!(targets.len() > 10, "{targets:?}");
    targets.retain(|target| !LIST.contains(&format!("`{target}`")));
    ensure!(targets.is_empty(), "not in the list: {targets:?}");
    Ok(())
}
