use headwater_core::AccessFormat;

use crate::FileConfig;

/// The settings of the access log. The default is JSON to standard error, of all requests.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessConfig {
    /// The format of a line. Default: JSON.
    pub format: AccessFormat,
    /// The destination. Default: standard error, like the log.
    pub to: AccessOutput,
    /// The share of requests that are logged, from 0 to 1. Answers from 500 on, and those cut off
    /// for such a reason, are always logged. Default: 1.
    pub sample: f64,
}

/// The destination of the access log.
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
