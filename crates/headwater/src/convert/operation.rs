//! Converts the settings for operating the host, whatever it serves.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use headwater_config::settings::{
    AccessLogSettings, AccessTo, ServerSettings, TelemetrySettings, When,
};
use headwater_telemetry::{
    AccessConfig, AccessOutput, LogFormat, MetricsConfig, OtlpConfig, TelemetryConfig, TreeConfig,
};

use crate::admin::AdminParams;
use crate::cli::OperationArgs;
use crate::convert;
use crate::convert::outputs::{self, Output};
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::HostSettings;

/// The settings for operating the host: those of flags and variables, else those of the file.
pub(crate) struct Operation {
    pub(crate) server: ServerSettings,
    pub(crate) admin: AdminParams,
    pub(crate) watch: bool,
    access_log: Option<AccessConfig>,
    telemetry: TelemetrySettings,
}

/// A setting for an output file that is not written.
#[derive(Debug, PartialEq, Eq)]
struct Idle {
    section: &'static str,
    key: &'static str,
    flag: &'static str,
    /// The reason why the file is not written.
    why: &'static str,
    /// The flag that names the file.
    file: &'static str,
}

// === impl Operation ===

impl Operation {
    pub(crate) fn new(
        flags: &OperationArgs,
        file: &HostSettings,
        locations: &ConfigLocations,
        found: &mut Diagnostics,
    ) -> Self {
        let flags = flags.clone();
        let admin = AdminParams::new(flags.admin, file.admin.as_ref(), locations, found);
        // A section turns on its feature, and so does each of its flags.
        let asked = flags.access_log.is_given() || file.access_log.is_some();
        let access_log = flags
            .access_log
            .or(file.access_log.clone().unwrap_or_default());
        let telemetry = flags.telemetry.or(file.telemetry.clone());
        for idle in without_a_file(&access_log, &telemetry) {
            found.warn(idle.warning(locations));
        }
        let operation = Self {
            server: flags.server.or(file.server.clone()),
            admin,
            watch: flags.reload.or(file.reload.clone()).watch.unwrap_or(false),
            access_log: asked.then(|| convert::host::access_log(&access_log)),
            telemetry,
        };
        outputs::check(&operation.outputs(), locations, found);
        operation
    }

    /// Reports a directory of compiled code that cannot be used.
    pub(crate) fn check_compiled(&self, locations: &ConfigLocations, found: &mut Diagnostics) {
        if let Err(error) = convert::host::compiled(&self.server) {
            let place = match locations.says("server", "compiled") {
                true => locations.section("server", "compiled"),
                false => Position::entry("--compiled, or HEADWATER_COMPILED"),
            };
            found.error(Diagnostic::of(Kind::Setting, place, &error.into()));
        }
    }

    /// Returns the files that the host writes to, whatever it serves.
    fn outputs(&self) -> Vec<Output> {
        let access_log = match self.access_log.as_ref().map(|config| &config.to) {
            Some(AccessOutput::File(file)) => Some(&file.path),
            _ => None,
        };
        let TelemetrySettings {
            trace_file,
            audit_log,
            ..
        } = &self.telemetry;
        let outputs = [
            (access_log, "access_log", "to", "--access-log-to"),
            (
                trace_file.as_ref(),
                "telemetry",
                "trace_file",
                "--trace-file",
            ),
            (audit_log.as_ref(), "telemetry", "audit_log", "--audit-log"),
        ];
        let output = |(path, section, key, flag): (Option<&PathBuf>, _, _, _)| {
            Some(Output {
                path: path?.clone(),
                section,
                key,
                flag,
            })
        };
        outputs.into_iter().filter_map(output).collect()
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        self.telemetry.log_format.unwrap_or_default()
    }

    /// Returns an error if a variable of OpenTelemetry is wrong.
    pub(crate) fn telemetry(&self) -> Result<TelemetryConfig> {
        let TelemetrySettings {
            trace_file,
            trace_file_rotate,
            trace_file_keep,
            audit_log,
            audit_log_rotate,
            audit_log_keep,
            trace_tree,
            service_name,
            log,
            log_format,
        } = self.telemetry.clone();
        let tree = match trace_tree.unwrap_or(When::Auto) {
            When::Always => true,
            When::Never => false,
            When::Auto => std::io::stderr().is_terminal(),
        };
        Ok(TelemetryConfig {
            log: convert::host::log(log, log_format),
            access: self.access_log.clone(),
            audit_file: audit_log
                .map(|path| convert::host::file(path, audit_log_rotate, audit_log_keep)),
            trace_file: trace_file
                .map(|path| convert::host::file(path, trace_file_rotate, trace_file_keep)),
            trace_tree: tree.then(TreeConfig::default),
            service_name: service_name.unwrap_or_default(),
            otlp: OtlpConfig::from_env()?,
            metrics: MetricsConfig::from_env()?,
            prometheus: self.admin.is_on(),
        })
    }
}

/// Returns the settings of rotation whose file is not written.
fn without_a_file(access_log: &AccessLogSettings, telemetry: &TelemetrySettings) -> Vec<Idle> {
    let access_file = matches!(access_log.to, Some(AccessTo::File(_)));
    let access_log = (&access_log.rotate, &access_log.keep);
    let TelemetrySettings {
        trace_file,
        trace_file_rotate,
        trace_file_keep,
        audit_log,
        audit_log_rotate,
        audit_log_keep,
        ..
    } = telemetry;
    let files = [
        (
            access_file,
            access_log,
            "access_log",
            ["rotate", "keep"],
            ["--access-log-rotate", "--access-log-keep"],
            ("the access log is not written to a file", "--access-log-to"),
        ),
        (
            trace_file.is_some(),
            (trace_file_rotate, trace_file_keep),
            "telemetry",
            ["trace_file_rotate", "trace_file_keep"],
            ["--trace-file-rotate", "--trace-file-keep"],
            ("there is no trace file", "--trace-file"),
        ),
        (
            audit_log.is_some(),
            (audit_log_rotate, audit_log_keep),
            "telemetry",
            ["audit_log_rotate", "audit_log_keep"],
            ["--audit-log-rotate", "--audit-log-keep"],
            ("the audit log is not written to a file", "--audit-log"),
        ),
    ];
    let mut idle = Vec::new();
    for (there, (rotate, keep), section, keys, flags, (why, file)) in files {
        let given = [rotate.is_some(), keep.is_some()];
        for ((key, flag), given) in keys.into_iter().zip(flags).zip(given) {
            if given && !there {
                idle.push(Idle {
                    section,
                    key,
                    flag,
                    why,
                    file,
                });
            }
        }
    }
    idle
}

// === impl Idle ===

impl Idle {
    fn warning(&self, locations: &ConfigLocations) -> Diagnostic {
        let Self {
            section,
            key,
            flag,
            why,
            file,
        } = self;
        let (place, setting) = match locations.says(section, key) {
            true => (locations.section(section, key), key),
            false => (Position::entry(*flag), flag),
        };
        let message = format!("`{setting}` has no effect: {why}");
        Diagnostic::new(Kind::NoEffect, place, message).with_remedy(format!("name a file ({file})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_file_that_is_not_written_is_warned_of() {
        let mut access_log = AccessLogSettings {
            rotate: Some("daily".parse().unwrap()),
            to: Some(AccessTo::Stdout),
            ..AccessLogSettings::default()
        };
        let mut telemetry = TelemetrySettings {
            audit_log_keep: Some("3".parse().unwrap()),
            trace_file_rotate: Some("hourly".parse().unwrap()),
            trace_file: Some("traces.jsonl".into()),
            ..TelemetrySettings::default()
        };
        let flags = |idle: Vec<Idle>| idle.iter().map(|idle| idle.flag).collect::<Vec<_>>();
        let idle = flags(without_a_file(&access_log, &telemetry));
        assert_eq!(idle, ["--access-log-rotate", "--audit-log-keep"]);
        access_log.to = Some(AccessTo::File("access.log".into()));
        telemetry.audit_log = Some("audit.jsonl".into());
        assert_eq!(without_a_file(&access_log, &telemetry), []);
    }
}
