//! Counts instructions by valgrind's callgrind.
//!
//! callgrind is run directly, without one of the crates that wrap it. Those that ask valgrind from inside the
//! program (`crabgrind`, `valgrind-requests`) need libclang for each build of the tests, and a harness
//! (`gungraun`) another program of exactly its version. callgrind can also be told by a function's name where to
//! begin, which needs nothing in the program. It is told so by functions that are *entered*: it does not know a
//! function's end where stacks are switched, as wasmtime does for guests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::debian;
use crate::process;

/// The functions of the benchmark of the parts that begin a region and follow it. In full: of two patterns with a
/// common beginning, callgrind 3.19 finds only one.
const BEGINS: &str = "parts::rounds::region_begins";
const ENDS: &str = "parts::rounds::region_ends";

/// The command line of a program whose regions are counted.
pub(crate) struct Counted<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [&'a str],
    /// Its whole environment, so that nothing else has influence.
    pub(crate) environment: &'a [(&'static str, PathBuf)],
    /// The profiles of its regions are written to `NAME.*` in this folder, see `callgrind_annotate`.
    pub(crate) folder: &'a Path,
    pub(crate) name: &'a str,
}

/// Finds valgrind, and installs it on Debian. Returns its path.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    if let Some(found) = debian::which("valgrind") {
        return Ok(found);
    }
    debian::install(&["valgrind".to_owned()])?;
    debian::which("valgrind").context("valgrind was installed, but is not in PATH")
}

impl Counted<'_> {
    /// Runs the program, and returns the number of instructions of each region of its first thread, in order.
    pub(crate) fn regions(&self, valgrind: &Path) -> Result<Vec<u64>> {
        let Self {
            program,
            arguments,
            environment,
            folder,
            name,
        } = self;
        self.remove_profiles()?;
        let mut command = Command::new(valgrind);
        command
            .args(["--quiet", "--tool=callgrind"])
            // What the threads of outputs do depends on time.
            .arg("--separate-threads=yes")
            .arg(format!("--zero-before={BEGINS}"))
            .arg(format!("--dump-before={ENDS}"))
            .arg(format!(
                "--callgrind-out-file={}",
                folder.join(name).display()
            ))
            .arg(program)
            .args(*arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let output = command.output();
        let output = output.with_context(|| format!("cannot start {}", valgrind.display()))?;
        ensure!(
            output.status.success(),
            "`{}` failed ({}): {}",
            process::line(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let mut regions = Vec::new();
        for path in self.profiles()? {
            let profile =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            match region(&profile)? {
                Some(region) => regions.push(region),
                // What came before the first region and after the last.
                None => fs::remove_file(&path)?,
            }
        }
        if regions.is_empty() {
            bail!("{name} has no region: is the function {BEGINS} still there?");
        }
        regions.sort_unstable_by_key(|(part, _)| *part);
        Ok(regions.into_iter().map(|(_, count)| count).collect())
    }

    fn remove_profiles(&self) -> Result<()> {
        for path in self.profiles()? {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    fn profiles(&self) -> Result<Vec<PathBuf>> {
        let prefix = format!("{}.", self.name);
        let of_this = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str);
            // A name may be the beginning of another: only part and thread follow it.
            name.and_then(|name| name.strip_prefix(&prefix))
                .is_some_and(|rest| !rest.contains(|c: char| c.is_ascii_alphabetic()))
        };
        let entries = fs::read_dir(self.folder)
            .with_context(|| format!("reading {}", self.folder.display()))?;
        let paths = entries.map(|entry| Ok(entry?.path()));
        let paths: Result<Vec<PathBuf>> = paths.collect();
        Ok(paths?.into_iter().filter(of_this).collect())
    }
}

/// Returns the number of a profile and its instructions, if it is of a region and of the first thread.
fn region(profile: &str) -> Result<Option<(u64, u64)>> {
    let field = |name: &str| {
        let mut lines = profile.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let number = |name: &str| -> Result<u64> {
        let value = field(name).with_context(|| format!("the profile has no `{name}`"))?;
        let value = value.trim().parse();
        value.with_context(|| format!("`{name}` of the profile is not a number"))
    };
    let trigger = field("desc: Trigger").unwrap_or_default();
    if !trigger.contains("--dump-before") || number("thread")? != 1 {
        return Ok(None);
    }
    Ok(Some((number("part")?, number("totals")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_profile_of_the_first_thread_that_was_written_before_its_end() {
        let profile = |trigger: &str, thread: u32| {
            format!(
                "version: 1\npart: 3\nthread: {thread}\n\ndesc: Trigger: {trigger}\n\nevents: Ir\n\
                 summary: 70\n\nfn=(1) main\n1 70\n\ntotals: 71\n"
            )
        };
        let stop = format!("--dump-before={ENDS}");
        assert_eq!(region(&profile(&stop, 1)).unwrap(), Some((3, 71)));
        assert_eq!(region(&profile(&stop, 2)).unwrap(), None);
        assert_eq!(region(&profile("Program termination", 1)).unwrap(), None);
        assert!(region("desc: Trigger: --dump-before=x\n").is_err());
    }
}
