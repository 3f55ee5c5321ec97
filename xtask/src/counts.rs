//! `cargo xtask bench --check`: compares the instructions that pieces of the host take with a committed baseline.
//!
//! A count depends on the source, the compilers and little else, whereas a time depends on the machine and on
//! what else it does. What counts leave out is in `docs/explanation/performance.md`.

mod baseline;
mod page;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use self::baseline::{Baseline, Change, Compared, Compilers};
use crate::build;
use crate::callgrind::{self, Counted};
use crate::check::Outcome;
use crate::components;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// The committed counts.
const BASELINE: &str = "crates/runtime/benches/instructions.json";

/// What to count, and what for: by default everything, to compare it.
#[derive(Default)]
pub(crate) struct Request<'a> {
    /// Pieces whose name contains one of these; all, if there are none.
    names: Vec<&'a str>,
    /// If true, the counts become the baseline.
    update: bool,
}

/// A piece of the benchmark's list.
struct Piece {
    name: String,
    /// The number of times that a region does it.
    operations: u64,
}

impl<'a> Request<'a> {
    /// Returns the request of a command line that has `--check`.
    pub(crate) fn new(arguments: &'a [String]) -> Result<Option<Self>> {
        let is = |option: &str| arguments.iter().any(|argument| argument == option);
        if !is("--check") {
            ensure!(!is("--update"), "`--update` goes with `--check`");
            return Ok(None);
        }
        let arguments = arguments.iter().map(String::as_str);
        let rest = arguments.filter(|argument| !["--check", "--update"].contains(argument));
        let (options, names) = rest.partition::<Vec<_>, _>(|argument| argument.starts_with('-'));
        ensure!(
            options.is_empty(),
            "with `--check` there is no {}",
            options.join(", ")
        );
        Ok(Some(Self {
            names,
            update: is("--update"),
        }))
    }

    fn wants(&self, piece: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| piece.contains(name))
    }

    /// Counts, and compares with the baseline or writes it. Fails if a count is too high.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<Outcome> {
        if !is_platform_of_baseline() {
            let why = "the baseline is of Linux on x86-64 with AVX2, and this is another platform";
            return Ok(Outcome::NotMade(why.to_owned()));
        }
        let valgrind = match callgrind::find_or_install() {
            Ok(valgrind) => valgrind,
            Err(error) => return Ok(Outcome::NotMade(format!("{error:#}"))),
        };
        let guests = components::run(workspace)?;
        say(
            "building the benchmark of the parts, optimised: this takes some minutes the first time",
        );
        let program = build::counted(workspace)?;
        let counts = self.count(workspace, &valgrind, &program)?;
        let compilers = Compilers {
            host: rustc_version()?,
            guests: guests.rust.version()?,
        };

        let path = workspace.root.join(BASELINE);
        let old = Baseline::read(&path)?;
        let compared = old.compare(&counts, self.names.is_empty());
        println!("{}", report::table(&compared));
        if self.update {
            let new = old.updated(counts, compilers, self.names.is_empty())?;
            page::update(workspace, &new)?;
            new.write(&path)?;
            say(format!(
                "wrote {BASELINE} and {}; say in the commit's message why the counts changed",
                page::PAGE
            ));
            return Ok(Outcome::Passed);
        }
        let problems = report::problems(&compared);
        if problems.is_empty() {
            return Ok(Outcome::Passed);
        }
        // Another compiler changes counts, but not which pieces there are.
        let is_listed = |it: &Compared| !matches!(it.change, Change::New | Change::Gone);
        if old.compilers != compilers && compared.iter().all(is_listed) {
            return Ok(Outcome::NotMade(format!(
                "counts differ from the baseline ({}), which was recorded with other compilers ({}; here \
                 {compilers}): compare with those, or record it again with `--update`",
                problems.join("; "),
                old.compilers,
            )));
        }
        bail!(
            "{}. `callgrind_annotate` shows where a count comes from, by the profiles in {}. If the change is \
             worth it, record it with `cargo xtask bench --check --update`, and say why in the commit's message",
            problems.join("; "),
            folder(workspace).display()
        )
    }

    /// Counts the instructions of each piece, as many pieces at once as there are processors.
    fn count(
        &self,
        workspace: &Workspace,
        valgrind: &Path,
        program: &Path,
    ) -> Result<BTreeMap<String, u64>> {
        let mut pieces = list(program)?;
        pieces.retain(|piece| self.wants(&piece.name));
        ensure!(
            !pieces.is_empty(),
            "no piece's name contains `{}`",
            self.names.join("` or `")
        );
        let folder = folder(workspace);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let environment = [
            ("HEADWATER_COMPONENTS", workspace.components()),
            // Compiling guests under valgrind takes a while.
            ("XDG_CACHE_HOME", folder.join("cache")),
        ];
        say(format!(
            "counting the instructions of {} pieces",
            pieces.len()
        ));
        let next = AtomicUsize::new(0);
        let counts = Mutex::new(BTreeMap::new());
        let count = || -> Result<()> {
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                let counted = Counted {
                    program,
                    arguments: &["count", &piece.name],
                    environment: &environment,
                    folder: &folder,
                    name: &piece.name,
                };
                let count = median(counted.regions(valgrind)?) / piece.operations;
                if let Ok(mut counts) = counts.lock() {
                    counts.insert(piece.name.clone(), count);
                }
            }
            Ok(())
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(count)).collect();
            workers.into_iter().try_for_each(|worker| {
                let counted = worker.join();
                counted.unwrap_or_else(|_| bail!("a thread that counts panicked"))
            })
        })?;
        Ok(counts.into_inner()?)
    }
}

/// Returns true if counts of this machine can be compared with the baseline. Libraries, and wasmtime's compiler, use
/// AVX2 where the processor has it; valgrind hides what came later.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn is_platform_of_baseline() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn is_platform_of_baseline() -> bool {
    false
}

/// Returns the folder of profiles.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("instructions")
}

/// Asks the benchmark for its pieces.
fn list(program: &Path) -> Result<Vec<Piece>> {
    let list = process::read(Command::new(program).arg("count"))?;
    let pieces = list.lines().map(|line| {
        let (name, operations) = line.split_once(' ').context("a piece without operations")?;
        Ok(Piece {
            name: name.to_owned(),
            operations: operations.parse()?,
        })
    });
    pieces.collect()
}

/// Returns the median without the first region, which warms caches up.
fn median(mut regions: Vec<u64>) -> u64 {
    let warm = match regions.as_mut_slice() {
        [_, warm @ ..] if !warm.is_empty() => warm,
        regions => regions,
    };
    warm.sort_unstable();
    warm[warm.len() / 2]
}

fn rustc_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::read(Command::new(rustc).arg("--version"))?;
    Ok(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_does_not_count() {
        assert_eq!(median(vec![900, 10, 12, 11]), 11);
        assert_eq!(median(vec![900]), 900);
    }

    #[test]
    fn check_takes_names_and_update_and_nothing_else() {
        let request = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let request = Request::new(&arguments)?;
            anyhow::Ok(request.map(|it| (it.wants("wagi.head"), it.wants("server.x"), it.update)))
        };
        assert_eq!(request(&["speed"]).unwrap(), None);
        assert_eq!(request(&["--check"]).unwrap(), Some((true, true, false)));
        assert_eq!(
            request(&["--check", "wagi", "--update"]).unwrap(),
            Some((true, false, true))
        );
        assert!(request(&["--update"]).is_err());
        assert!(request(&["--check", "--assert"]).is_err());
    }
}
