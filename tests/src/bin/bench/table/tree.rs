//! The CPU time and memory of a server with all of its processes.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_tests::process::Process;

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// The CPU time of the process and of its children that have ended, in clock ticks.
    ticks: u64,
}

/// Returns the CPU time of a process and of all that it started, also of those that have ended.
///
/// # Errors
///
/// Returns an error if the process has ended.
pub(crate) fn cpu_time(root: u32) -> Result<Duration> {
    let ticks = members(root)?.into_iter().map(|(_, stat)| stat.ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
}

/// Returns the sum of the peaks of resident memory of a process and of all that it started and that
/// still run, in bytes.
///
/// # Errors
///
/// Returns an error if the process has ended.
pub(crate) fn peak_rss(root: u32) -> Result<u64> {
    sum(root, Process::peak_rss)
}

/// Returns the sum of the resident memory of the same processes now, in bytes.
///
/// # Errors
///
/// Returns an error if the process has ended.
pub(crate) fn rss(root: u32) -> Result<u64> {
    sum(root, Process::rss)
}

fn sum(root: u32, of: impl Fn(Process) -> Result<u64>) -> Result<u64> {
    let members = members(root)?;
    // Any of them may end meanwhile.
    let all = members
        .iter()
        .filter_map(|(pid, _)| of(Process::new(*pid)).ok());
    Ok(all.sum())
}

/// Restarts [`peak_rss`].
///
/// # Errors
///
/// Returns an error if the process has ended.
pub(crate) fn reset_peak_rss(root: u32) -> Result<()> {
    for (pid, _) in members(root)? {
        // Any of them may end meanwhile.
        let _ = Process::new(pid).reset_peak_rss();
    }
    Ok(())
}

/// Returns a process and all that it started, directly or indirectly.
fn members(root: u32) -> Result<Vec<(u32, Stat)>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile has no file.
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Some(stat) = Stat::parse(&text)
        {
            all.insert(pid, stat);
        }
    }
    let mut members = vec![(
        root,
        all.remove(&root)
            .context("the server has ended by itself")?,
    )];
    let mut at = 0;
    while let Some((parent, _)) = members.get(at) {
        let parent = *parent;
        members.extend(all.extract_if(|_, stat| stat.parent == parent));
        at += 1;
    }
    Ok(members)
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field, the name, is in parentheses and may contain anything. The fields after
        // it (see proc(5)) are the state, the parent, …, `utime` (the 12th), `stime`, `cutime`,
        // `cstime`.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        let times = fields.get(11..15)?;
        let ticks = times.iter().map(|ticks| ticks.parse::<u64>());
        let ticks = ticks.sum::<Result<u64, _>>().ok()?;
        Some(Self { parent, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_ended_children_count() {
        let text = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5\n";
        let stat = Stat {
            parent: 7,
            ticks: 127,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("12 (a) S 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_processes_of_a_server_are_found() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 100 & wait"])
            .spawn()
            .unwrap();
        let found = std::iter::repeat_with(|| members(shell.id()).unwrap())
            .inspect(|_| std::thread::yield_now())
            .find(|members| members.len() == 2)
            .unwrap();
        assert!(peak_rss(shell.id()).unwrap() > 0);
        cpu_time(shell.id()).unwrap();
        for (pid, _) in found.iter().rev() {
            Process::new(*pid).terminate().unwrap();
        }
        shell.wait().unwrap();
    }
}
