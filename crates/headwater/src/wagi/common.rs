//! What the modules of a file have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use headwater_config::modules::{self, ModuleEntry};
use headwater_config::settings::LimitSettings;
use headwater_config::{Count, Memory, Time};
use headwater_core::{Limits, LoopGuard};
use headwater_egress::{Egress, EgressParams, EgressShared, GrantSource, TlsRoots, TraceHeaders};
use headwater_telemetry::Metrics;
use headwater_wagi::{Compat, Volume, WagiSettings, allowed_hosts};

use super::variables;
use crate::cli::wagi::{self, ModuleArgs, OutgoingArgs};
use crate::convert;
use crate::convert::connecting::Connecting;
use crate::convert::outgoing;
use crate::exit::Usage;

/// What the command line says of all modules.
pub(crate) struct ModuleDefaults {
    pub(super) arguments: ModuleArgs,
    log_dir: Option<PathBuf>,
    /// What the command line gives to all modules.
    pub(crate) environment: BTreeMap<String, String>,
    limits: LimitSettings,
    trace_headers: TraceHeaders,
    outgoing: outgoing::Settings,
    connecting: Connecting,
    /// The bounds on what all modules send.
    pub(crate) shared: EgressShared,
    pub(crate) metrics: Metrics,
    /// What ends loops.
    pub(crate) loops: LoopGuard,
    /// Shared, so that the machine's certificates are read once.
    pub(crate) tls_roots: TlsRoots,
}

// === impl ModuleDefaults ===

impl ModuleDefaults {
    pub(crate) fn new(
        arguments: &ModuleArgs,
        limits: &LimitSettings,
        outgoing: &OutgoingArgs,
        log_dir: Option<PathBuf>,
    ) -> Result<Self> {
        let OutgoingArgs {
            connecting,
            trace_headers,
            requests,
        } = outgoing;
        let usage = |error: anyhow::Error| Usage(format!("on the command line, {error:#}"));
        Ok(Self {
            limits: limits.clone(),
            trace_headers: convert::service::trace_headers(trace_headers),
            outgoing: outgoing::Settings::of(requests).map_err(usage)?,
            connecting: Connecting::of(connecting, Vec::new(), Vec::new()).map_err(usage)?,
            shared: EgressShared::default(),
            environment: variables::given(arguments)?,
            arguments: arguments.clone(),
            log_dir,
            metrics: Metrics::default(),
            loops: LoopGuard::default(),
            tls_roots: TlsRoots::default(),
        })
    }

    pub(super) fn settings(&self, name: &str, entry: &ModuleEntry) -> WagiSettings {
        let compat = self.compat(entry);
        // As WAGI's help says: the command line's override those of the file.
        let mut environment = entry.environment.clone();
        environment.extend(self.environment.clone());
        let defaults = WagiSettings::new(name);
        // Here it is the module that goes before the command line.
        let settings = LimitSettings {
            timeout: entry.timeout,
            memory: entry.memory,
            max_instances: entry.max_instances,
            max_cpu_time: entry.max_cpu_time,
            max_open_files_per_instance: entry.max_open_files_per_instance,
            max_open_files: entry.max_open_files,
        };
        let settings = settings.or(self.limits.clone());
        WagiSettings {
            entrypoint: entry.entrypoint.clone().unwrap_or(defaults.entrypoint),
            environment: environment.into_iter().collect(),
            argv: entry.argv.clone(),
            volumes: volumes(name, entry, compat),
            default_host: self.arguments.hostname.clone(),
            compat,
            response: entry
                .response
                .map_or_else(|| compat.response(), convert::service::response),
            allowed_hosts: entry.allowed_hosts.clone(),
            http_max_concurrency: entry.http_max_concurrency,
            pass_authorization: entry.pass_authorization,
            log_dir: self.log_dir.clone(),
            max_instances: settings.max_instances.map(Count::get),
            max_cpu_time: settings.max_cpu_time.map(Time::get),
            max_wall_time: entry.max_wall_time.map(Time::get),
            max_output: entry.max_output.map(Memory::bytes),
            limits: Limits {
                buffered_response: entry
                    .max_response
                    .map_or(defaults.limits.buffered_response, Memory::in_memory),
                ..convert::service::limits(&settings)
            },
            ..WagiSettings::new(name)
        }
    }

    /// What a module calls out by.
    pub(super) fn egress(&self, name: &str, entry: &ModuleEntry, file: &Path) -> Result<Egress> {
        let outgoing::Settings {
            timeouts,
            limits,
            pool,
            h2c,
        } = self.outgoing.clone();
        Ok(Egress::new(EgressParams {
            grants: allowed_hosts(&entry.allowed_hosts)?,
            grant_source: GrantSource::ModulesFile(file.into()),
            timeouts,
            limits,
            shared: self.shared.clone(),
            pool,
            h2c,
            tls: self.connecting.tls.clone(),
            proxy: self.connecting.proxy.clone(),
            trace_headers: self.trace_headers,
            tls_roots: self.tls_roots.clone(),
            metrics: self.metrics.clone(),
            loops: self.loops.clone(),
            ..EgressParams::new(name)
        }))
    }

    fn compat(&self, entry: &ModuleEntry) -> Compat {
        match (entry.compat, self.arguments.compat) {
            (Some(settings), _) => convert::service::compat(settings),
            (None, wagi::Compat::Default) => Compat::Default,
            (None, wagi::Compat::Strict) => Compat::Strict,
            (None, wagi::Compat::V0_2) => Compat::V0_2,
        }
    }
}

/// A module's directories. Strictly, one that cannot be opened is left out; otherwise that is an error
/// when the module is loaded, because it would move the descriptors of those after it.
fn volumes(name: &str, entry: &ModuleEntry, compat: Compat) -> Vec<Volume> {
    let usable = |volume: &&modules::VolumeEntry| {
        let opened = std::fs::read_dir(&volume.host);
        if let (Compat::Strict, Err(error)) = (compat, &opened) {
            let (guest, host) = (&volume.guest, volume.host.display());
            tracing::warn!(service = name, %error, "the volume `{guest}` ({host}) is left out");
        }
        compat != Compat::Strict || opened.is_ok()
    };
    let volumes = entry.volumes.iter().filter(usable);
    volumes
        .map(|volume| Volume {
            guest: volume.guest.clone(),
            host: volume.host.clone(),
            read_only: volume.read_only,
        })
        .collect()
}
