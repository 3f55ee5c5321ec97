//! The machine and the time of a measurement.

use std::fs;
use std::process::Command;
use std::thread;

/// A machine, and when it was used.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) system: String,
    /// The day, in UTC.
    pub(crate) date: String,
}

impl Machine {
    /// Describes this machine. What it does not say stays empty.
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.map(|line| line.trim_start_matches([' ', '\t', ':']));
            value.unwrap_or_default().trim().to_owned()
        };
        let kib = field(&read("/proc/meminfo"), "MemTotal:");
        let kib = kib.trim_end_matches(" kB").parse::<u64>();
        let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
        let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.unwrap_or(0).div_ceil(1 << 20),
            system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            date: date.unwrap_or_default(),
        }
    }

    /// Describes it in one line.
    pub(crate) fn line(&self) -> String {
        let Self {
            processor,
            cores,
            memory_gib,
            system,
            date,
        } = self;
        format!("{date}, {processor}, {cores} cores, {memory_gib} GiB, {system}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_a_date() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_gib > 0);
        assert_eq!(machine.date.len(), 10, "{}", machine.line());
    }
}
