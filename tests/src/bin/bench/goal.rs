//! Targets, and the medians to compare with them.

/// A target and the measured result.
pub(crate) struct Goal {
    /// The target, such as `under 60 MiB`.
    pub(crate) target: String,
    /// The result.
    pub(crate) found: String,
    pub(crate) met: bool,
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, found, met } = self;
        let verdict = if *met { "met" } else { "MISSED" };
        write!(f, "target: {target}: {found}, {verdict}")
    }
}

/// Returns the middle value; of an even number of values, the upper of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
