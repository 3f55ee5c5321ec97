use headwater_core::AccessFormat;

use crate::FileConfig;

/// What the access log is like, and where it goes. The default is JSON to standard error, of all
/// requests.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessConfig {
    /// What a line looks like. Default: JSON.
    pub format: AccessFormat,
    /// Where lines go. Default: standard error, where the log is.
    pub to: AccessOutput,
    /// Which share of the requests is noted, from 0 to 1. Answers from 500 on, and those that were
    /// cut for such a reason, are noted in any case. Default: 1.
    pub sample: f64,
}

/// Where the access log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AccessOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    #[default]
    Stderr,
    /// This file.
    File(FileConfig),
}

// === impl AccessConfig ===

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            format: AccessFormat::default(),
            to: AccessOutput::default(),
            sample: 1.0,
        }
    }
}
