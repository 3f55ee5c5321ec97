use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::wagi::{ModuleArgs, unquote};

/// The variables that the command line gives to all modules: those of the files, a later one over an
/// earlier, and over them those of `--env`.
pub(crate) fn given(arguments: &ModuleArgs) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for file in &arguments.env_file {
        variables.extend(read(file)?);
    }
    variables.extend(arguments.env.iter().cloned());
    Ok(variables)
}

fn read(file: &Path) -> Result<Vec<(String, String)>> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{name}` (--env-file)"))?;
    parse(&text).with_context(|| format!("in `{name}` (--env-file)"))
}

/// Lines `NAME=VALUE`, empty lines and comments.
fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (line, nth) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                let value = unquote(value.trim());
                variables.push((name.trim().to_owned(), value.to_owned()));
            }
            _ => bail!("line {nth} is no variable: write NAME=VALUE, or # before a comment"),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(more: &[&str]) -> ModuleArgs {
        let all = [&["headwater", "wagi", "-c", "modules.toml"], more].concat();
        let Command::Wagi(wagi) = Cli::try_parse_from(all).unwrap().command else {
            panic!("headwater wagi")
        };
        wagi.modules
    }

    /// WAGI's own case.
    #[test]
    fn test_env_var_merge() {
        let folder = std::env::temp_dir().join(format!("headwater-env-{}", std::process::id()));
        std::fs::write(&folder, "FIRST=1\n# x\n\nexport SECOND='2'\n").unwrap();
        let file = format!("--env-file={}", folder.display());
        let given = given(&arguments(&[
            "-e",
            "SECOND=two",
            "THIRD=3",
            "-e",
            "FOUR=\"4 4\"",
            &file,
        ]));
        std::fs::remove_file(&folder).unwrap();
        let given = given.unwrap();
        let found: Vec<_> = given
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("FIRST", "1"),
                ("FOUR", "4 4"),
                ("SECOND", "two"),
                ("THIRD", "3")
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_variable_is_named() {
        let error = parse("A=1\nB\n").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        let missing = given(&arguments(&["--env-file", "/does/not/exist"])).unwrap_err();
        assert!(format!("{missing:#}").contains("/does/not/exist"));
    }
}
