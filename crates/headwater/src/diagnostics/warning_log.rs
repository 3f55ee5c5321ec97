use parking_lot::Mutex;

use super::Diagnostic;

/// Logs warnings, each once for as long as it stays.
#[derive(Debug, Default)]
pub(crate) struct WarningLog(Mutex<Vec<Diagnostic>>);

// === impl WarningLog ===

impl WarningLog {
    /// Logs the warnings that were not there the last time.
    pub(crate) fn note(&self, warnings: Vec<Diagnostic>) {
        let mut known = self.0.lock();
        for warning in warnings.iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!(target: "headwater::config", kind = warning.kind.as_str(), "{warning}");
        }
        *known = warnings;
    }
}
