//! The access log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headwater_config::parse_size;
use headwater_telemetry::{AccessConfig, AccessFormat, AccessOutput, Rotation};

/// The access log: one line for each answered request.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access log")]
pub(crate) struct AccessArgs {
    /// Log each answered request, to standard error if nothing else is said: whose it was, how long
    /// it took, what was done for it
    #[arg(long, env = "HEADWATER_ACCESS_LOG")]
    pub(crate) access_log: bool,

    /// Where to: `stdout`, `stderr` or a file, which is appended to
    #[arg(long, value_name = "WHERE", env = "HEADWATER_ACCESS_LOG_TO", default_value = "stderr")]
    access_log_to: PathBuf,

    /// How: JSON lines, or the combined format of Apache and nginx
    #[arg(long, value_name = "FORMAT", env = "HEADWATER_ACCESS_LOG_FORMAT", default_value = "json")]
    access_log_format: Format,

    /// When a file is put aside under the name of its time, and a new one begun: `never`, `hourly`,
    /// `daily` (UTC), or when it has a size such as `100MiB`
    #[arg(
        long,
        value_name = "WHEN",
        env = "HEADWATER_ACCESS_LOG_ROTATE",
        default_value = "never",
        value_parser = parse_rotation
    )]
    access_log_rotate: Rotation,

    /// Files that are kept of those put aside [default: all]
    #[arg(long, value_name = "N", env = "HEADWATER_ACCESS_LOG_KEEP")]
    access_log_keep: Option<usize>,

    /// Which share of the requests is logged, from 0 to 1; those that failed (5xx) always are
    #[arg(
        long,
        value_name = "SHARE",
        env = "HEADWATER_ACCESS_LOG_SAMPLE",
        default_value = "1",
        value_parser = parse_share
    )]
    access_log_sample: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Combined,
}

// === impl AccessArgs ===

impl AccessArgs {
    /// What was asked for, if it was.
    pub(crate) fn config(&self) -> Option<AccessConfig> {
        self.access_log.then(|| AccessConfig {
            format: match self.access_log_format {
                Format::Json => AccessFormat::Json,
                Format::Combined => AccessFormat::Combined,
            },
            to: match self.access_log_to.to_str() {
                Some("stdout") => AccessOutput::Stdout,
                Some("stderr") => AccessOutput::Stderr,
                _ => AccessOutput::File(self.access_log_to.clone()),
            },
            rotation: self.access_log_rotate,
            keep: self.access_log_keep,
            sample: self.access_log_sample,
        })
    }
}

fn parse_rotation(text: &str) -> Result<Rotation, String> {
    match text {
        "never" => Ok(Rotation::Never),
        "hourly" => Ok(Rotation::Hourly),
        "daily" => Ok(Rotation::Daily),
        size => match parse_size(size) {
            Ok(size) if size > 0 => Ok(Rotation::Size(size)),
            _ => Err("write `never`, `hourly`, `daily`, or a size such as `100MiB`".to_owned()),
        },
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a number from 0 to 1, such as `0.1`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_a_word_or_a_size() {
        assert_eq!(parse_rotation("daily"), Ok(Rotation::Daily));
        assert_eq!(parse_rotation("1MiB"), Ok(Rotation::Size(1 << 20)));
        for wrong in ["", "weekly", "0", "-1MiB"] {
            assert!(parse_rotation(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(parse_share("0.25"), Ok(0.25));
        for wrong in ["-0.1", "1.1", "NaN", "half", ""] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
