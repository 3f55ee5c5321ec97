//! What is to be served, of the command line and the file.

use std::path::Path;

use anyhow::{Context, Result};
use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
    ServiceSettings, TelemetrySettings,
};
use headwater_config::{File, Guest};
use headwater_runtime::Artifact;

use super::planned::{Binary, Planned};
use super::routing;
use crate::builtins::{self, Builtin};
use crate::cli::Serve;
use crate::connecting::{self, Connecting};
use crate::exit::Usage;
use crate::front;
use crate::outgoing;
use crate::said::Said;

/// What is to be served.
pub(crate) struct Plan {
    pub(crate) services: Vec<Planned>,
    pub(crate) builtins: Vec<Builtin>,
    /// What the file says of the host itself.
    pub(crate) host: HostSettings,
    /// Where the file says it.
    pub(crate) said: Said,
}

/// What the file says of the host itself: its sections.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HostSettings {
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) server: ServerSettings,
    pub(crate) admin: Option<AdminSettings>,
    pub(crate) access_log: Option<AccessLogSettings>,
    pub(crate) reload: ReloadSettings,
    pub(crate) telemetry: TelemetrySettings,
}

/// Reads what FILE is and says which services it makes.
pub(crate) fn plan(arguments: &Serve) -> Result<Plan> {
    let path = &arguments.file;
    check_flags(&arguments.services)?;
    let artifact =
        Artifact::read(path).with_context(|| format!("cannot serve `{}`", path.display()))?;
    match artifact {
        Artifact::Component(binary) => single(arguments, Binary::Component(binary)),
        Artifact::Module(binary) => single(arguments, Binary::Module(binary)),
        Artifact::Toml(text) => several(arguments, &text),
    }
}

/// One guest for every path, with the grants of the command line.
fn single(arguments: &Serve, guest: Binary) -> Result<Plan> {
    let connecting = &arguments.services.connecting;
    if connecting.no_proxy.is_some() && connecting.proxy.is_none() {
        let advice = "--no-proxy is for what is not reached by the proxy: name one by --proxy";
        return Err(Usage(advice.to_owned()).into());
    }
    Ok(Plan {
        services: vec![Planned::single(arguments, guest)?],
        builtins: Vec::new(),
        host: HostSettings::default(),
        said: Said::default(),
    })
}

/// The services of a headwater.toml.
fn several(arguments: &Serve, text: &str) -> Result<Plan> {
    let path = arguments.file.display();
    if let Some(flag) = arguments.grants.first_given() {
        return Err(Usage(format!(
            "{flag} is for a single guest, and `{path}` names several services: write the grant \
             into the service that it is for"
        ))
        .into());
    }
    let file = File::parse(text).with_context(|| format!("cannot serve `{path}`"))?;
    let file = file.within(arguments.file.parent().unwrap_or(Path::new("")));
    let said = Said::new(&arguments.file, file.source());
    check_sections(&file, &said)?;
    routing::check(&file, &said)?;
    let defaults = arguments.services.clone().or(file.defaults.clone());
    let services = file.service.iter().enumerate().map(|(index, service)| {
        let what = format!("service `{}`", service.name);
        let planned = Planned::of(service, &defaults);
        let mut planned =
            planned.map_err(|wrong| said.misplaced(&what, "service", index, wrong))?;
        let key = match service.guest() {
            Guest::Component(_) => "component",
            Guest::Module(_) => "module",
        };
        planned.said = Some(said.entry(&what, "service", index, key));
        Ok(planned)
    });
    Ok(Plan {
        services: services.collect::<Result<_>>()?,
        builtins: builtins::of(&file, &said)?,
        host: HostSettings {
            listeners: file.listener,
            server: file.server,
            admin: file.admin,
            access_log: file.access_log,
            reload: file.reload,
            telemetry: file.telemetry,
        },
        said,
    })
}

/// What flags and variables say of all services makes sense by itself.
fn check_flags(said: &ServiceSettings) -> Result<()> {
    let usage = |flag: &str, error: anyhow::Error| Usage(format!("{flag}: {error:#}"));
    if said.pool.check().is_err() {
        let advice = "--serial is one request at a time; leave --max-concurrent-per-instance out \
                      (HEADWATER_SERIAL, HEADWATER_MAX_CONCURRENT_PER_INSTANCE)";
        return Err(Usage(advice.to_owned()).into());
    }
    outgoing::h2c(&said.outgoing).map_err(|error| usage("--h2c, or HEADWATER_H2C", error))?;
    connecting::proxy(&said.connecting)
        .map_err(|error| usage("--proxy, or HEADWATER_PROXY", error))?;
    Ok(())
}

/// What the sections of a file say makes sense by itself, whether a service needs it or not.
fn check_sections(file: &File, said: &Said) -> Result<()> {
    let place = |section: &str, key: &str| said.section(section, key);
    let defaults = &file.defaults;
    connecting::proxy(&defaults.connecting).with_context(|| place("defaults", "proxy"))?;
    outgoing::h2c(&defaults.outgoing).with_context(|| place("defaults", "outgoing.h2c"))?;
    Connecting::of(&defaults.connecting, Vec::new(), Vec::new())
        .with_context(|| place("defaults", "ca"))?;
    front::log(file.telemetry.log.clone(), None)
        .check()
        .with_context(|| place("telemetry", "log"))?;
    front::host_id(&file.server).with_context(|| place("server", "host_id"))?;
    Ok(())
}
