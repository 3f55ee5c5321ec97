use std::collections::BTreeMap;

use clap::{Arg, Args, Command};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::settings::{
    AccessLogSettings, AdminSettings, ClientAuthSettings, ConnectingSettings, LimitSettings,
    ListenArgs, LoadSettings, OutgoingSettings, PoolSettings, ProxyProtocolSettings,
    ReloadSettings, ServerSettings, TelemetrySettings, TraceHeaderSettings,
};

#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// The flag, with its hyphens.
    pub(crate) long: String,
    pub(crate) variable: Option<String>,
    /// The help of the flag, to compare it with the description of the key.
    #[cfg(test)]
    pub(crate) help: String,
}

pub(crate) type Flags = BTreeMap<String, Flag>;

/// The scope of the flags of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Section,
    /// All services that do not have their own setting.
    AllServices,
    /// All listeners of the command line.
    AllListeners,
}

/// Returns the flags for the keys of a table. `table` is its name in the schema, and `path` its
/// path in the file.
pub(crate) fn flags(table: &str, path: &str) -> Option<(Set, Flags)> {
    let services = match path.split('.').next() {
        Some("service") => Set::AllServices,
        _ => Set::Section,
    };
    Some(match table {
        "ServerSettings" => (Set::Section, of::<ServerSettings>()),
        "AdminSettings" => (Set::Section, of::<AdminSettings>()),
        "AccessLogSettings" => (Set::Section, of::<AccessLogSettings>()),
        "ReloadSettings" => (Set::Section, of::<ReloadSettings>()),
        "TelemetrySettings" => (Set::Section, of::<TelemetrySettings>()),
        "OutgoingSettings" => (services, of::<OutgoingSettings>()),
        "Service" | "ServiceSettings" => {
            let mut flags = of::<LimitSettings>();
            flags.append(&mut of::<LoadSettings>());
            flags.append(&mut of::<PoolSettings>());
            flags.append(&mut of::<ConnectingSettings>());
            flags.append(&mut of::<TraceHeaderSettings>());
            (services, flags)
        }
        "ListenerSettings" => {
            let mut flags = of::<ProxyProtocolSettings>();
            flags.extend(listen("listen", "listen"));
            (Set::AllListeners, flags)
        }
        "TlsSettings" => (Set::AllListeners, of::<ClientAuthSettings>()),
        "CertificateFiles" => {
            let flags = listen("certificate", "tls_cert").into_iter();
            let flags = flags.chain(listen("key", "tls_key"));
            (Set::AllListeners, flags.collect())
        }
        _ => return None,
    })
}

fn listen(key: &str, id: &str) -> Option<(String, Flag)> {
    let command = ListenArgs::augment_args(Command::new("headwater"));
    let argument = command.get_arguments().find(|flag| flag.get_id() == id)?;
    Some((key.to_owned(), Flag::of(argument)))
}

/// Pairs the keys and flags of a group, which are in the same order, that of its fields. A test
/// compares the descriptions of each pair.
fn of<S: Args + JsonSchema>() -> Flags {
    let schema = SchemaGenerator::default().into_root_schema_for::<S>();
    let keys = schema.get("properties").and_then(Value::as_object);
    let keys = keys.into_iter().flat_map(|properties| properties.keys());
    let command = S::augment_args(Command::new("headwater"));
    keys.zip(command.get_arguments())
        .map(|(key, argument)| (key.clone(), Flag::of(argument)))
        .collect()
}

// === impl Flag ===

impl Flag {
    fn of(argument: &Arg) -> Self {
        Self {
            long: format!("--{}", argument.get_long().unwrap_or_default()),
            variable: argument
                .get_env()
                .map(|variable| variable.to_string_lossy().into_owned()),
            #[cfg(test)]
            help: argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}
