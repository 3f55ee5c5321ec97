use std::collections::BTreeMap;

use clap::{Args, Command};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::settings::{
    AccessLogSettings, AdminSettings, ConnectingSettings, LimitSettings, OutgoingSettings,
    ReloadSettings, ServerSettings, TelemetrySettings,
};

/// How a key is set without a file.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    /// With its hyphens.
    pub(super) long: String,
    pub(super) variable: Option<String>,
    /// What `--help` says.
    pub(super) help: String,
}

pub(super) type Flags = BTreeMap<String, Flag>;

/// Whether the flags say the same as the section, or what holds for services that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Section,
    AllServices,
}

/// The flags for the keys of a table, which is named as in the schema.
pub(super) fn flags(table: &str) -> Option<(Set, Flags)> {
    Some(match table {
        "ServerSettings" => (Set::Section, of::<ServerSettings>()),
        "AdminSettings" => (Set::Section, of::<AdminSettings>()),
        "AccessLogSettings" => (Set::Section, of::<AccessLogSettings>()),
        "ReloadSettings" => (Set::Section, of::<ReloadSettings>()),
        "Outgoing" => (Set::AllServices, of::<OutgoingSettings>()),
        "Service" => {
            let mut flags = of::<LimitSettings>();
            flags.append(&mut of::<ConnectingSettings>());
            flags.append(&mut of::<TelemetrySettings>());
            (Set::AllServices, flags)
        }
        _ => return None,
    })
}

/// Keys and flags of a group are in the same order, that of its fields. The test compares what is said
/// of each.
fn of<S: Args + JsonSchema>() -> Flags {
    let schema = SchemaGenerator::default().into_root_schema_for::<S>();
    let keys = schema.get("properties").and_then(Value::as_object);
    let keys = keys.into_iter().flat_map(|properties| properties.keys());
    let command = S::augment_args(Command::new("headwater"));
    keys.zip(command.get_arguments())
        .map(|(key, argument)| {
            let flag = Flag {
                long: format!("--{}", argument.get_long().unwrap_or_default()),
                variable: argument
                    .get_env()
                    .map(|variable| variable.to_string_lossy().into_owned()),
                help: argument
                    .get_help()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            };
            (key.clone(), flag)
        })
        .collect()
}
