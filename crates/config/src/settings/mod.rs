//! Groups of settings. A group is one type for its flags, variables and keys of the file. Its
//! comments are the text of `--help`, the schema and the reference.
//!
//! A field is `None` if the setting is not given. `or` merges the sources in this order: a
//! service's own key, a flag, an environment variable, a section of the file. The code that uses a
//! setting adds the default. [`ServiceSettings`] holds the settings of services, wherever they are
//! given.

mod access_log;
mod admin;
mod connecting;
pub(crate) mod group;
mod limits;
mod listen;
mod listener;
mod load;
mod outgoing;
mod pool;
mod reload;
mod server;
mod service;
mod telemetry;
mod trace_headers;

pub use access_log::{AccessLogSettings, AccessTo, Rotate, RotateError, Sample, SampleError};
pub use admin::AdminSettings;
pub use connecting::ConnectingSettings;
pub use limits::LimitSettings;
pub use listen::{ListenArgs, ListenArgsError};
pub use listener::{
    CertificateFiles, ClientAuthMode, ClientAuthSettings, ListenerSettings, ProxyProtocolMode,
    ProxyProtocolSettings, TlsSettings,
};
pub use load::{LoadSettings, LoadTime};
pub use outgoing::OutgoingSettings;
pub use pool::{PoolSettings, SerialError};
pub use reload::ReloadSettings;
pub use server::{CodeCachePlace, ServerSettings};
pub use service::ServiceSettings;
pub use telemetry::{TelemetrySettings, When};
pub use trace_headers::TraceHeaderSettings;

/// Defines a group: a struct of `Option`s that flags, variables and sections of the file are read
/// into, and its method `or`.
///
/// A field has `#[arg(…)]` of clap if its flag is named like its key, `#[flag("name", "VALUE", "VARIABLE")]` if
/// not, or `#[switch("VARIABLE")]` if the flag may be given without a value.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {$(
            $(#[doc = $doc:tt])+
            $(#[flag($flag:tt, $value:tt, $variable:tt)])?
            $(#[switch($switch:tt)])?
            $(#[arg($($arg:tt)*)])?
            pub $field:ident: Option<$type:ty>,
        )+}
    ) => {
        #[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {$(
            $(#[doc = $doc])+
            $(#[arg(id = $flag, long = $flag, value_name = $value, env = $variable)])?
            $(#[arg(long, value_name = "BOOL", env = $switch)]
            #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")])?
            $(#[arg($($arg)*)])?
            pub $field: Option<$type>,
        )+}

        impl $name {
            /// Returns these settings, with those of `other` where a field here is `None`.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)+ }
            }

            /// Returns the keys whose values differ.
            #[must_use]
            pub fn differing(&self, other: &Self) -> Vec<&'static str> {
                let keys = [$((stringify!($field), self.$field != other.$field)),+];
                keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
            }
        }

        impl $crate::settings::group::Group for $name {
            fn has(key: &str) -> bool {
                [$(stringify!($field)),+].contains(&key)
            }

            fn read<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                values: &mut A,
            ) -> Result<(), A::Error> {
                match key {
                    $(stringify!($field) => self.$field = Some(values.next_value()?),)+
                    _ => return Err(serde::de::Error::unknown_field(key, &[$(stringify!($field)),+])),
                }
                Ok(())
            }
        }
    };
}
pub(crate) use settings;

/// Defines an enum of plain words for flags and files.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident,)+
        }
    ) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "lowercase")]
        #[schemars(inline)]
        $(#[$meta])*
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use headwater_core::AccessFormat;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        listen: ListenArgs,
        #[command(flatten)]
        server: ServerSettings,
        #[command(flatten)]
        services: ServiceSettings,
        #[command(flatten)]
        telemetry: TelemetrySettings,
        #[command(flatten)]
        access_log: AccessLogSettings,
        #[command(flatten)]
        admin: AdminSettings,
        #[command(flatten)]
        reload: ReloadSettings,
    }

    #[test]
    fn all_groups_go_together_and_each_variable_is_named_after_its_flag() {
        let command = Flags::command();
        command.clone().debug_assert();
        let mut variables = 0;
        for flag in command.get_arguments() {
            let Some(long) = flag.get_long().filter(|long| *long != "help") else {
                continue;
            };
            let variable = flag.get_env().unwrap_or_default();
            let name = format!("HEADWATER_{}", long.to_uppercase().replace('-', "_"));
            // As with all programs that log by `tracing`.
            let name = if long == "log" { "RUST_LOG" } else { &name };
            assert_eq!(variable, name);
            variables += 1;
        }
        assert!(variables > 70, "{variables}");
    }

    #[test]
    fn a_flag_is_asked_before_the_file_and_a_silent_one_leaves_it() {
        let flags = Flags::parse_from([
            "x",
            "--max-connections=7",
            "--trusted-proxies=10.0.0.0/8,::1/128",
        ]);
        let file: ServerSettings = toml::from_str(
            "max_connections = 5\nmax_body = \"1MiB\"\nclient_rate = \"9/s burst 20\"",
        )
        .unwrap();
        let both = flags.server.or(file);
        assert_eq!(both.max_connections.unwrap().get(), 7);
        assert_eq!(both.max_body.unwrap().bytes(), 1 << 20);
        assert_eq!(both.client_rate.unwrap().burst().get(), 20);
        assert_eq!(both.trusted_proxies.unwrap().len(), 2);
        assert_eq!(both.max_uri, None);
    }

    #[test]
    fn a_flag_for_yes_or_no_needs_no_value_and_can_take_a_file_s_back() {
        let on = Flags::parse_from(["x", "--serial", "--access-log", "--admin"]);
        assert_eq!(on.services.pool.serial, Some(true));
        assert_eq!(on.access_log.format, Some(AccessFormat::Json));
        assert!(on.access_log.is_given() && on.admin.listen.is_some());
        let off = Flags::parse_from(["x", "--serial=false"]);
        let file = PoolSettings {
            serial: Some(true),
            ..PoolSettings::default()
        };
        assert_eq!(off.services.pool.or(file).serial, Some(false));
        assert!(!off.access_log.is_given());
    }

    #[test]
    fn a_value_that_makes_no_sense_in_a_section_is_named_with_its_line() {
        for (key, value) in [
            ("max_connections", "0"),
            ("max_body", "\"1MB\""),
            ("send_timeout", "30"),
            ("client_rate", "\"9\""),
        ] {
            let text = format!("places = 10\n{key} = {value}\n");
            let error = toml::from_str::<ServerSettings>(&text)
                .unwrap_err()
                .to_string();
            assert!(error.contains("line 2") && error.contains(key), "{error}");
        }
    }

    #[test]
    fn what_is_said_of_a_setting_is_in_the_schema_and_in_the_help() {
        let schema = serde_json::to_value(schemars::schema_for!(ServerSettings)).unwrap();
        let said = schema["properties"]["max_uri"]["description"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(said.contains("are answered 414"), "{said}");
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("are answered 414"), "{help}");
    }
}
