//! Makes the kernel do to the pages of a process what it does when memory is short: it compacts
//! memory and swaps pages out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use tempfile::NamedTempFile;

use crate::process::Process;

/// Bytes of swap space if the machine has none.
const SWAP: usize = 256 << 20;

/// Bytes of fragmented memory.
const FRAGMENTED: usize = 64 << 20;

const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// Swap space that exists while this value lives.
#[derive(Debug)]
pub struct Swap(Option<NamedTempFile>);

impl Swap {
    /// Uses the machine's swap space, or else adds a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the machine has none and does not allow one: that needs root and a file
    /// system that supports swap files.
    pub fn on() -> Result<Self> {
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().count() > 1 {
            return Ok(Self(None));
        }
        let mut file = NamedTempFile::new().context("making a swap file")?;
        file.write_all(&vec![0; SWAP])
            .context("writing a swap file")?;
        for program in ["mkswap", "swapon"] {
            let output = Command::new(program).arg(file.path()).output();
            let output = output.with_context(|| format!("starting {program}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{program}: {}", said.trim());
        }
        Ok(Self(Some(file)))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            // If this fails, the swap space stays until the machine stops.
            let _ = Command::new("swapoff").arg(file.path()).status();
        }
    }
}

/// A memory cgroup with one process in it, whose pages can be swapped out.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    /// The file, and the text to write there, which swap out all pages.
    reclaim: (&'static str, &'static str),
}

impl MemoryGroup {
    /// Creates a group below our own with this process in it.
    ///
    /// # Errors
    ///
    /// Returns an error if the machine does not allow it: it needs root and writable cgroups.
    pub fn of(process: Process) -> Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").context("which cgroup is ours?")?;
        let path = |start: &str| {
            let mut lines = own.lines();
            lines.find_map(|line| line.split_once(start).map(|(_, path)| path))
        };
        let (root, path, reclaim) = match (path(":memory:"), path("0::")) {
            (Some(path), _) => ("/sys/fs/cgroup/memory", path, ("memory.force_empty", "0")),
            (None, Some(path)) => ("/sys/fs/cgroup", path, ("memory.reclaim", "1G")),
            (None, None) => anyhow::bail!("there are no memory cgroups"),
        };
        let folder = Path::new(root)
            .join(path.trim_start_matches('/'))
            .join(format!("headwater-{}", process.pid()));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let group = Self { folder, reclaim };
        ensure!(
            group.folder.join(reclaim.0).exists(),
            "{} has no {}",
            group.folder.display(),
            reclaim.0
        );
        fs::write(group.folder.join("cgroup.procs"), process.pid().to_string())
            .context("moving the process into its cgroup")?;
        Ok(group)
    }

    /// Swaps out as many pages as possible.
    pub fn page_out(&self) {
        // Fails if some pages stay, which is fine.
        let (file, text) = self.reclaim;
        let _ = fs::write(self.folder.join(file), text);
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Fails while the process lives; a remaining group is harmless.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Returns the number of pages of this machine that were swapped out since it started.
///
/// # Errors
///
/// Returns an error if the kernel does not report it.
pub fn pages_swapped_out() -> Result<u64> {
    vmstat("pswpout ")
}

/// Returns the number of pages of this machine that compaction moved since it started.
///
/// # Errors
///
/// Returns an error if the kernel does not report it.
pub fn pages_moved() -> Result<u64> {
    vmstat("pgmigrate_success ")
}

fn vmstat(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .with_context(|| format!("no {name}in /proc/vmstat"))?
        .parse()?)
}

/// Makes the kernel compact memory, after fragmenting some so that there is something to move.
///
/// # Errors
///
/// Returns an error if this is not allowed: it needs root.
pub fn compact() -> io::Result<()> {
    let file = File::from(memfd_create("fragmented", MemfdFlags::CLOEXEC)?);
    (&file).write_all(&vec![1; FRAGMENTED])?;
    for page in (0..FRAGMENTED as u64).step_by(8 << 10) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, page, 4 << 10)?;
    }
    fs::write(COMPACT, "1")
}
