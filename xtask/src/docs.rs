//! Builds the documentation as a book, and tests its links and commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::process::{self, say};
use crate::registry::Package;
use crate::tools::{Build, Tool};
use crate::workspace::Workspace;

const BOOK: Tool = Tool {
    name: "mdbook",
    version: "0.4.52",
    takes: "some minutes",
    build: Build::Quick,
};

/// The info string of a block of commands that can be run.
const RUNNABLE: &str = "sh runnable";

/// Runs before the commands of a page, so that `headwater` is the binary that was just built.
const PRELUDE: &str = r#"
set -euo pipefail
shopt -s expand_aliases
alias headwater="$HEADWATER"
cargo() { if [ "$PWD/$*" = "$ROOT/build --release" ]; then true; else command cargo "$@"; fi; }
"#;

/// Builds the book of all pages.
pub(crate) fn book(workspace: &Workspace) -> Result<()> {
    let mdbook = BOOK.install(workspace)?;
    let book = workspace.target.join("book");
    let mut make = Command::new(mdbook);
    make.arg("build").arg(workspace.root.join("docs"));
    make.arg("--dest-dir").arg(&book);
    process::run(&mut make, "mdBook's message above says where.")?;
    say(format!("the book is {}/index.html", book.display()));
    Ok(())
}

/// Fails if a page links to a file or a heading that does not exist.
pub(crate) fn links(workspace: &Workspace) -> Result<()> {
    let checker = Package::new("remark-validate-links", "13.1.0").npm(workspace)?;
    let remark = Package::new("remark-cli", "12.0.1").npm(workspace)?;
    let mut check = Command::new("node");
    check.arg(remark.join("node_modules/remark-cli/cli.js"));
    check.args(["--frail", "--quiet", "--no-stdout", "--use"]);
    let plugin = checker.join("node_modules/remark-validate-links/index.js");
    check.arg(format!("{}=repository:false", plugin.display()));
    check.current_dir(&workspace.root).args(pages(workspace)?);
    process::run(&mut check, "Correct the links listed above.")
}

/// Lists the pages that git knows.
fn pages(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut list = Command::new("git");
    list.current_dir(&workspace.root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.md",
    ]);
    let list = process::read(&mut list)?;
    let pages = list.lines().map(PathBuf::from);
    Ok(pages
        .filter(|page| workspace.root.join(page).exists())
        .collect())
}

/// Runs the commands of each page that has some, as a reader would.
pub(crate) fn commands(workspace: &Workspace) -> Result<()> {
    build::tests(workspace)?;
    for page in pages(workspace)? {
        let text = fs::read_to_string(workspace.root.join(&page))?;
        let commands = runnable(&text);
        if !commands.is_empty() {
            say(format!("running the commands of {}", page.display()));
            run(workspace, &page, &commands)?;
        }
    }
    Ok(())
}

fn run(workspace: &Workspace, page: &Path, commands: &str) -> Result<()> {
    let mut shell = Command::new("timeout");
    shell.args(["--kill-after=10", "900", "bash", "-c"]);
    shell.arg(format!("{PRELUDE}{commands}"));
    shell.current_dir(&workspace.root).stdin(Stdio::null());
    shell.env("ROOT", &workspace.root);
    shell.env("HEADWATER", workspace.target.join("debug/headwater"));
    // The programs of a page are not built into the workspace's folder.
    shell.env_remove("CARGO_TARGET_DIR");
    let output = shell.output().context("cannot start bash")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the commands of {} failed ({}):\n{said}\n{complained}",
        page.display(),
        output.status
    );
    Ok(())
}

/// Returns the runnable blocks of a page, in order.
fn runnable(text: &str) -> String {
    let mut commands = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(RUNNABLE) {
            for command in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                commands.push_str(command);
                commands.push('\n');
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runnable_blocks_of_a_page_are_run_in_their_order_and_no_others() {
        let page = "text\n```sh runnable\na\nb\n```\n```sh\nc\n```\n```sh runnable\nd\n```\n";
        assert_eq!(runnable(page), "a\nb\nd\n");
        assert_eq!(runnable("```sh\nc\n```\n"), "");
    }
}
