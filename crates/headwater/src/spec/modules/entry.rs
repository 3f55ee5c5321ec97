//! A module of a modules.toml, with the settings of the command line for all modules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use headwater_config::modules::{ModuleEntry, VolumeEntry};
use headwater_config::settings::{LimitSettings, ServiceSettings};
use headwater_config::{Memory, RouteConfig, Time};
use headwater_egress::GrantSource;
use headwater_runtime::{Capabilities, Directory};
use headwater_server::VirtualHost;
use headwater_wagi::{Compat, ModuleReference, allowed_hosts};

use super::fetch::{Cache, read};
use super::flags::ModuleFlags;
use crate::blocking;
use crate::cli::wagi::Wagi;
use crate::diagnostics::EntryDiagnostics;
use crate::spec::config_location::AtKey;
use crate::spec::prepared::{Binary, PreparedService};
use crate::spec::service_spec::{ModuleOptions, ServiceSpec, ServiceSummary};

/// The parts that all entries of a file share.
pub(super) struct Entries<'a> {
    pub(super) path: &'a Path,
    pub(super) arguments: &'a Wagi,
    pub(super) flags: &'a ModuleFlags,
    pub(super) cache: Cache,
}

// === impl Entries ===

impl Entries<'_> {
    /// Returns the service of an entry. Reports all errors in it.
    pub(super) fn prepare(
        &self,
        name: &str,
        entry: &ModuleEntry,
        found: &mut EntryDiagnostics<'_>,
    ) -> Option<PreparedService> {
        let is_list = found.says("host.0");
        let hosts = entry.host.iter().enumerate().map(|(at, host)| {
            let host = host.parse::<VirtualHost>().context("in `host`");
            host.map(|host| host.to_string()).at(match is_list {
                true => format!("host.{at}"),
                false => "host".to_owned(),
            })
        });
        let hosts = found.keep_all(hosts.collect());
        let grants = allowed_hosts(&entry.allowed_hosts).ok();
        if grants.is_none() {
            let all = entry.allowed_hosts.iter().enumerate();
            let all = all.map(|(at, host)| allowed_hosts([host]).at(format!("allowed_hosts.{at}")));
            found.keep_all(all.collect());
        }
        let guest = found.keep(self.guest(entry).at("module"));
        let ((guest, origin), grants, hosts) = (guest?, grants?, hosts?);
        let (guest, binary) = Binary::Module(guest).into_parts();
        let mut environment = entry.environment.clone();
        environment.extend(self.flags.environment.clone());
        let compat = entry.compat.unwrap_or(self.arguments.modules.compat);
        let outline = ServiceSummary {
            grants,
            environment: environment.into_iter().collect(),
            directories: directories(name, &entry.volumes, compat),
            ..ServiceSummary::new(name, origin, Capabilities::default().nothing())
        };
        let spec = ServiceSpec {
            settings: self.settings(entry),
            module: self.options(entry, compat),
            ..ServiceSpec::new(outline, guest)
        };
        let route = RouteConfig {
            hosts,
            ..RouteConfig::path(&entry.route)
        };
        let grant_source = GrantSource::ModulesFile(self.path.into());
        Some(PreparedService {
            place: found.place("module"),
            ..PreparedService::new(spec, binary, vec![route], grant_source, found)
        })
    }

    /// Merges limits. In a modules.toml, a module takes precedence over the command line.
    fn settings(&self, entry: &ModuleEntry) -> ServiceSettings {
        let limits = LimitSettings {
            timeout: entry.timeout,
            memory: entry.memory,
            max_instances: entry.max_instances,
            max_cpu_time: entry.max_cpu_time,
            max_open_files_per_instance: entry.max_open_files_per_instance,
            max_open_files: entry.max_open_files,
        };
        let settings = self.flags.settings.clone();
        ServiceSettings {
            limits: limits.or(settings.limits),
            ..settings
        }
    }

    fn options(&self, entry: &ModuleEntry, compat: Compat) -> ModuleOptions {
        ModuleOptions {
            argv: entry.argv.clone(),
            entrypoint: entry.entrypoint.clone(),
            compat,
            response: entry.response,
            mount: Some(entry.route.clone()),
            default_host: Some(self.arguments.modules.hostname.clone()),
            http_max_concurrency: entry.http_max_concurrency,
            pass_authorization: entry.pass_authorization,
            log_dir: self.arguments.log_dir.clone(),
            max_wall_time: entry.max_wall_time.map(Time::get),
            max_output: entry.max_output.map(Memory::bytes),
            max_response: entry.max_response.map(Memory::in_memory),
        }
    }

    /// Returns the module, and its file or its reference in a registry.
    fn guest(&self, entry: &ModuleEntry) -> Result<(Vec<u8>, PathBuf)> {
        Ok(match ModuleReference::parse(&entry.module)? {
            ModuleReference::File(file) => (read(&file, self.path)?, file),
            ModuleReference::Oci(reference) => blocking::block_on(self.cache.fetch(&reference))??,
        })
    }
}

/// Returns a module's directories. In strict mode, one that cannot be opened is left out. Otherwise
/// it is an error when the module is loaded, because leaving it out would change the descriptors of
/// those after it.
fn directories(name: &str, volumes: &[VolumeEntry], compat: Compat) -> Vec<Directory> {
    let usable = |volume: &&VolumeEntry| {
        let opened = std::fs::read_dir(&volume.host);
        if let (Compat::Strict, Err(error)) = (compat, &opened) {
            let (guest, host) = (&volume.guest, volume.host.display());
            tracing::warn!(service = name, %error, "the volume `{guest}` ({host}) is left out");
        }
        compat != Compat::Strict || opened.is_ok()
    };
    let volumes = volumes.iter().filter(usable);
    volumes
        .map(|volume| Directory {
            guest: volume.guest.clone(),
            host: volume.host.clone(),
            read_only: volume.read_only,
        })
        .collect()
}
