//! Measured values and their ratios.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::goal::median;

/// A measured quantity of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Requests per second over connections that send the next request as soon as they can.
    PerSecond,
    /// CPU time of all processes of the server for a request, in microseconds.
    Cpu,
    /// Percentiles of the time from when a request is due to the end of its answer, at half
    /// load, in milliseconds.
    P50,
    P99,
    P999,
    /// Peak of the resident memory of all processes of the server under load, in MiB.
    Memory,
    /// That peak above the resident memory after the first answer, in MiB: what bodies take.
    Growth,
    /// Time from the start of the process to the end of the first answer, in milliseconds.
    Start,
}

/// The values of one server in one scenario, each with a sample for each round.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    samples: BTreeMap<Metric, Vec<f64>>,
}

// === impl Metric ===

impl Metric {
    pub(crate) const ALL: [Self; 8] = [
        Self::PerSecond,
        Self::Cpu,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Memory,
        Self::Growth,
        Self::Start,
    ];

    /// Returns its name in `table.json` and in the names of plots.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::PerSecond => "requests_per_second",
            Self::Cpu => "cpu_microseconds_per_request",
            Self::P50 => "p50_milliseconds",
            Self::P99 => "p99_milliseconds",
            Self::P999 => "p99_9_milliseconds",
            Self::Memory => "peak_memory_mib",
            Self::Growth => "peak_memory_above_idle_mib",
            Self::Start => "first_answer_milliseconds",
        }
    }

    /// Returns the heading of its column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PerSecond => "requests/s",
            Self::Cpu => "CPU/request",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Memory => "peak memory",
            Self::Growth => "above idle",
            Self::Start => "first answer",
        }
    }

    /// Writes a value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond if value < 100.0 => format!("{value:.1}"),
            Self::PerSecond => format!("{value:.0}"),
            Self::Cpu if value >= 10_000.0 => format!("{:.1} ms", value / 1e3),
            Self::Cpu => format!("{value:.1} µs"),
            Self::P50 | Self::P99 | Self::P999 if value < 10.0 => format!("{value:.2} ms"),
            Self::P50 | Self::P99 | Self::P999 => format!("{value:.1} ms"),
            Self::Memory | Self::Growth => format!("{value:.0} MiB"),
            Self::Start => format!("{value:.0} ms"),
        }
    }

    /// Returns true if this ratio of values says that the one above the line is better.
    pub(crate) fn is_ahead(self, ratio: f64) -> bool {
        match self {
            Self::PerSecond => ratio >= 1.0,
            _ => ratio <= 1.0,
        }
    }
}

// === impl Figures ===

impl Figures {
    pub(crate) fn add(&mut self, metric: Metric, value: f64) {
        self.samples.entry(metric).or_default().push(value);
    }

    /// Adds the percentiles of the latencies of a round, which are in order. A percentile needs
    /// enough of them.
    pub(crate) fn add_latencies(&mut self, latencies: &[Duration]) {
        for (metric, share, least) in [
            (Metric::P50, 0.5, 2),
            (Metric::P99, 0.99, 100),
            (Metric::P999, 0.999, 1_000),
        ] {
            if let Some(latency) = percentile(latencies, share)
                && latencies.len() >= least
            {
                self.add(metric, latency.as_secs_f64() * 1e3);
            }
        }
    }

    /// Returns the median of the rounds, if it was measured.
    pub(crate) fn value(&self, metric: Metric) -> Option<f64> {
        let samples = self.samples.get(&metric)?;
        Some(median(samples.iter().copied()))
    }

    /// Returns the ratio of these values to the others: the median over the pairs of rounds, which
    /// were measured shortly after each other, because other load on a machine varies.
    pub(crate) fn ratio(&self, others: &Self, metric: Metric) -> Option<f64> {
        let (these, those) = (self.samples.get(&metric)?, others.samples.get(&metric)?);
        let ratio = match these.len() == those.len() {
            true => median(these.iter().zip(those).map(|(this, that)| this / that)),
            false => self.value(metric)? / others.value(metric)?,
        };
        // The clock of CPU time may not have moved.
        ratio.is_finite().then_some(ratio)
    }
}

/// Returns the latency below which this share of them is.
fn percentile(latencies: &[Duration], share: f64) -> Option<Duration> {
    let at = (latencies.len() as f64 * share) as usize;
    latencies.get(at).or(latencies.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(samples: &[f64]) -> Figures {
        let mut figures = Figures::default();
        for sample in samples {
            figures.add(Metric::PerSecond, *sample);
        }
        figures
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_rounds() {
        // The machine is half as fast in the second round: that is not in the ratio.
        let (ours, theirs) = (
            figures(&[200.0, 100.0, 220.0]),
            figures(&[100.0, 50.0, 110.0]),
        );
        assert_eq!(ours.ratio(&theirs, Metric::PerSecond), Some(2.0));
        assert_eq!(ours.value(Metric::PerSecond), Some(200.0));
    }

    #[test]
    fn what_was_not_measured_of_both_has_no_ratio() {
        let (ours, theirs) = (figures(&[1.0]), Figures::default());
        assert_eq!(ours.ratio(&theirs, Metric::PerSecond), None);
        assert_eq!(ours.ratio(&ours, Metric::Cpu), None);
        assert_eq!(
            figures(&[0.0]).ratio(&figures(&[0.0]), Metric::PerSecond),
            None
        );
    }

    #[test]
    fn a_percentile_needs_enough_requests() {
        let latencies: Vec<_> = (0..200).map(Duration::from_millis).collect();
        let mut figures = Figures::default();
        figures.add_latencies(&latencies);
        assert_eq!(figures.value(Metric::P50), Some(100.0));
        assert_eq!(figures.value(Metric::P99), Some(198.0));
        assert_eq!(figures.value(Metric::P999), None);
        figures.add_latencies(&[]);
        assert_eq!(figures.value(Metric::P50), Some(100.0));
    }

    #[test]
    fn more_requests_are_better_and_less_of_everything_else() {
        assert!(Metric::PerSecond.is_ahead(1.2) && !Metric::PerSecond.is_ahead(0.9));
        assert!(Metric::Memory.is_ahead(0.9) && !Metric::Memory.is_ahead(1.2));
    }

    #[test]
    fn values_have_units() {
        assert_eq!(Metric::PerSecond.show(12_345.6), "12346");
        assert_eq!(Metric::PerSecond.show(9.87), "9.9");
        assert_eq!(Metric::Cpu.show(23.45), "23.4 µs");
        assert_eq!(Metric::Cpu.show(23_450.0), "23.4 ms");
        assert_eq!(Metric::P99.show(0.456), "0.46 ms");
        assert_eq!(Metric::Memory.show(45.6), "46 MiB");
    }
}
