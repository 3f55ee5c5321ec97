//! The resources that the process uses, as metrics. Names follow OpenTelemetry's semantic
//! conventions for processes, except that of open files, which ends in `count`: `promtool` refuses
//! that for a gauge.

use std::fs;
use std::time::Instant;

use opentelemetry::metrics::Meter;
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// Makes the instruments for CPU time, memory, open files and age of the process. Memory and open
/// files are available on Linux only.
pub(crate) fn observe_process(meter: &Meter) {
    let started = Instant::now();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("CPU time of the process, of all its threads")
        .with_callback(|instrument| instrument.observe(cpu_seconds(), &[]))
        .build();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Time since the process started to serve")
        .with_callback(move |instrument| instrument.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Resident memory of the process")
        .with_callback(|instrument| {
            if let Some(resident) = resident_bytes() {
                instrument.observe(resident, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.open_files")
        .with_unit("{file}")
        .with_description("Open file descriptors of the process, including sockets")
        .with_callback(|instrument| {
            if let Some(open) = open_files() {
                instrument.observe(open, &[]);
            }
        })
        .build();
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    std::time::Duration::new(seconds, nanoseconds).as_secs_f64()
}

/// Returns the second number of `/proc/self/statm`, which counts pages (proc_pid_statm(5)).
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(page_size()).ok()?)
}

/// Returns the number of open files, without the one that is open to count them.
fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open.saturating_sub(1)).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_of_this_process() {
        let before = open_files().unwrap();
        let _open: Vec<_> = (0..50)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        assert!(open_files().unwrap() >= before.max(50));
        assert!(resident_bytes().unwrap() > 1 << 20);
        let cpu = cpu_seconds();
        let mut sum = 0_u64;
        while cpu_seconds() <= cpu {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
