//! Reads the system's data about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::within;

/// A process, by its id.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// Returns the process with this id.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// Returns the resident memory, in bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn rss(self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// Returns the peak of resident memory since the start, or since [`Process::reset_peak_rss`],
    /// in bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn peak_rss(self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Restarts [`Process::peak_rss`] (`5` in `/proc/PID/clear_refs`, see proc(5)).
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn reset_peak_rss(self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.pid);
        fs::write(&path, "5").with_context(|| format!("writing {path}"))
    }

    /// Returns the CPU time used, in user and system mode together.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn cpu_time(self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // The second field, the name, is in parentheses and may contain anything. Of the fields
        // after it (see proc(5)), `utime` and `stime` are the 12th and 13th.
        let mut fields = stat
            .rsplit_once(')')
            .context("no name in /proc/PID/stat")?
            .1
            .split_whitespace()
            .skip(11);
        let mut ticks = 0;
        for _ in 0..2 {
            ticks += fields
                .next()
                .context("/proc/PID/stat is short")?
                .parse::<u64>()?;
        }
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
    }

    /// Returns the number of open file descriptors.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn open_files(self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid);
        let all = fs::read_dir(&path).with_context(|| format!("reading {path}"))?;
        Ok(all.count())
    }

    /// Returns the number of open sockets: connections and listeners.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn open_sockets(self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid);
        let all = fs::read_dir(&path).with_context(|| format!("reading {path}"))?;
        // A descriptor that was closed meanwhile has no target.
        let targets = all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        Ok(targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count())
    }

    /// Waits until it uses less than a tenth of one core for half a second.
    ///
    /// # Errors
    ///
    /// Returns an error if it continues to compute, or has ended.
    pub async fn calm(self) -> Result<()> {
        self.wait_for_load("the end of all computing in the host", |share| share < 0.1)
            .await
    }

    /// Waits until it has computed for one more second, which a host does only if a guest computes;
    /// on a busy machine this takes longer.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not, or has ended.
    pub async fn busy(self) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(100);
        let before = self.cpu_time()?;
        within("computing in the host", async {
            while self.cpu_time()?.saturating_sub(before) < Duration::from_secs(1) {
                // There is no event to wait for.
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        })
        .await?
    }

    /// Waits until `wanted` accepts its share of one core.
    async fn wait_for_load(self, what: &str, wanted: impl Fn(f64) -> bool) -> Result<()> {
        const WINDOW: Duration = Duration::from_millis(500);
        within(what, async {
            loop {
                let before = self.cpu_time()?;
                // The interval to measure, not a wait for an event.
                tokio::time::sleep(WINDOW).await;
                let used = self.cpu_time()?.saturating_sub(before);
                if wanted(used.as_secs_f64() / WINDOW.as_secs_f64()) {
                    return Ok(());
                }
            }
        })
        .await?
    }

    /// Sends SIGTERM, which asks the process to end.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn terminate(self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGINT, like Ctrl-C at the terminal.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn interrupt(self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// Sends SIGHUP, which tells a server to reload.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn hang_up(self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Sends SIGUSR1, which tells a server that its log files were rotated.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended.
    pub fn user1(self) -> Result<()> {
        self.signal(Signal::USR1)
    }

    /// Waits until the process handles SIGHUP, SIGTERM and SIGUSR1, which would end it otherwise.
    ///
    /// # Errors
    ///
    /// Returns an error if it ends first, or takes too long.
    pub async fn takes_signals(self) -> Result<()> {
        let signals = [Signal::HUP, Signal::TERM, Signal::USR1];
        let wanted = signals.map(|signal| 1_u64 << (signal.as_raw() - 1));
        let wanted = wanted.into_iter().fold(0, |all, one| all | one);
        within("a process that takes signals", async {
            // A mask, in hexadecimal: see proc(5).
            while u64::from_str_radix(&self.status("SigCgt:")?, 16)? & wanted != wanted {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
        .await?
    }

    fn signal(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?).context("process id 0")?;
        kill_process(pid, signal).with_context(|| format!("signalling process {}", self.pid))
    }

    fn status_bytes(self, key: &str) -> Result<u64> {
        let value = self.status(key)?;
        let kib = value.strip_suffix(" kB").context("not in kB")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// Reads a line of `/proc/PID/status` (proc(5)).
    fn status(self, key: &str) -> Result<String> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let value = status.lines().find_map(|line| line.strip_prefix(key));
        let value = value.with_context(|| format!("no {key} in {path}: the process has ended"))?;
        Ok(value.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_of_this_very_process_can_be_read() {
        let this = Process::new(std::process::id());
        assert!(this.rss().unwrap() > 0);
        assert!(this.peak_rss().unwrap() >= this.rss().unwrap() / 2);
        this.cpu_time().unwrap();
        assert!(this.open_files().unwrap() >= 3);
        let sockets = this.open_sockets().unwrap();
        let _listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        assert!(this.open_sockets().unwrap() > sockets);
    }
}
