//! The servers that are compared, and how each serves a scenario.

mod wash;
mod workerd;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use headwater_tests::guests::{binary, guest};
use headwater_tests::settings::SettingsFile;
use tempfile::TempDir;

use crate::cgi::Cgi;
use crate::table::request::Request;
use crate::table::server::{Launch, Server, free_port};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Headwater,
    /// `wasmtime serve`.
    Wasmtime,
    /// `wash dev` of wasmCloud.
    Wash,
    /// The JavaScript runtime of Cloudflare.
    Workerd,
    /// A program with hyper that does what the guest does.
    Hyper,
    /// The least around the same guest that still serves HTTP: plain hyper and wasmtime.
    Floor,
    /// The same, with a runtime, a listener and an instance for each processor.
    FloorPerCore,
    /// nginx with fcgiwrap, which starts a native program for each request.
    Cgi,
}

/// What a server serves, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    /// The guest, for servers of WebAssembly.
    pub(crate) guest: &'static str,
    /// The source of the same program, for native CGI, relative to the folder of guests.
    pub(crate) native: Option<&'static str>,
    /// The base URL of the upstream that the guest calls.
    pub(crate) upstream: Option<String>,
    /// A `headwater.toml` in place of the guest.
    pub(crate) settings: Option<Arc<SettingsFile>>,
    pub(crate) telemetry: Telemetry,
}

/// What Headwater records of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Telemetry {
    #[default]
    None,
    /// This share of the requests is traced, to a collector.
    Traces(&'static str),
    /// A line in a file for each request.
    AccessLog,
    /// The same, and metrics, which the collector gets each second.
    MetricsAndAccessLog,
}

/// The servers of this machine, and the files that they share.
pub(crate) struct Peers {
    programs: HashMap<Peer, Found>,
    /// The files of this run.
    folder: TempDir,
    /// The collector of traces.
    collector: Option<Server>,
}

/// The program of a peer.
struct Found {
    /// The program, or why there is none.
    program: Result<PathBuf, String>,
    /// What it says of its version.
    version: String,
}

// === impl Peer ===

impl Peer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Headwater,
        Self::Wasmtime,
        Self::Wash,
        Self::Workerd,
        Self::Hyper,
        Self::Floor,
        Self::FloorPerCore,
        Self::Cgi,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Headwater => "headwater",
            Self::Wasmtime => "wasmtime serve",
            Self::Wash => "wash dev",
            Self::Workerd => "workerd (JavaScript)",
            Self::Hyper => "plain hyper",
            Self::Floor => "floor",
            Self::FloorPerCore => "floor, per core",
            Self::Cgi => "nginx + fcgiwrap",
        }
    }

    /// Finds its program. `cargo xtask bench` names those that it has installed.
    fn find(self) -> Result<PathBuf> {
        let named = |variable: &str| {
            let path = std::env::var_os(variable).map(PathBuf::from);
            path.with_context(|| {
                format!("{variable} names none; `cargo xtask bench table` installs one")
            })
        };
        match self {
            Self::Headwater => binary(),
            Self::Wasmtime => named("HEADWATER_PEER_WASMTIME"),
            Self::Wash => named("HEADWATER_PEER_WASH"),
            Self::Workerd => named("HEADWATER_PEER_WORKERD"),
            Self::Hyper => std::env::current_exe().context("asking for the path of this program"),
            Self::Floor | Self::FloorPerCore => named("HEADWATER_FLOOR"),
            Self::Cgi => {
                in_path("fcgiwrap").context("there is no fcgiwrap: apt-get install fcgiwrap")?;
                in_path("nginx").context("there is no nginx: apt-get install nginx-light")
            }
        }
    }

    fn version(self, program: &Path) -> String {
        let argument = match self {
            Self::Hyper | Self::Floor | Self::FloorPerCore => {
                return "of this repository's Cargo.lock".to_owned();
            }
            Self::Cgi => "-v",
            _ => "--version",
        };
        let output = Command::new(program).arg(argument).output();
        let text = output.map_or_else(
            |error| error.to_string(),
            |output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            },
        );
        text.lines().next().unwrap_or_default().to_owned()
    }
}

// === impl Peers ===

impl Peers {
    /// Finds the servers, says which are missing, and starts the collector of traces.
    pub(crate) async fn find() -> Result<Self> {
        let programs = Peer::ALL.map(|peer| {
            let program = peer.find().map_err(|error| format!("{error:#}"));
            let version = program
                .as_ref()
                .map_or_else(|_| String::new(), |program| peer.version(program));
            match &program {
                Ok(_) => println!("  {}: {version}", peer.name()),
                Err(why) => println!("  NOT HAD: {}: {why}", peer.name()),
            }
            (peer, Found { program, version })
        });
        let mut peers = Self {
            programs: programs.into(),
            folder: TempDir::with_prefix("headwater-bench-")?,
            collector: None,
        };
        peers.collector = Some(peers.native().await?);
        Ok(peers)
    }

    /// Returns what a server says of its version, or that there is none.
    pub(crate) fn version(&self, peer: Peer) -> &str {
        match self.programs.get(&peer) {
            Some(Found {
                program: Ok(_),
                version,
            }) => version,
            _ => "not had",
        }
    }

    /// Starts a native server, as an upstream or a collector.
    pub(crate) async fn native(&self) -> Result<Server> {
        let (service, hello) = (Service::default(), Request::get("/"));
        self.start(Peer::Hyper, &service, &hello).await
    }

    /// Starts a server and waits until it answers the request.
    pub(crate) async fn start(
        &self,
        peer: Peer,
        service: &Service,
        request: &Request,
    ) -> Result<Server> {
        let program = match self.programs.get(&peer).map(|found| &found.program) {
            Some(Ok(program)) => program.clone(),
            Some(Err(why)) => bail!("{why}"),
            None => bail!("it was not looked for"),
        };
        let directory = self.fresh_folder()?;
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut environment = vec![("XDG_CACHE_HOME", self.cache()?.display().to_string())];
        let arguments: Vec<OsString> = match peer {
            Peer::Headwater => {
                environment.extend(self.telemetry(service.telemetry));
                self.headwater(service, &listen, &directory)?
            }
            Peer::Wasmtime => {
                let mut arguments = words(&["serve", "-S", "cli", "--addr", &listen]);
                arguments.push(guest(service.guest)?.into());
                arguments
            }
            Peer::Wash => wash::prepare(&directory, service, &listen)?,
            Peer::Workerd => workerd::prepare(&directory, &listen)?,
            Peer::Hyper => words(&["native-server", &port.to_string()]),
            Peer::Floor | Peer::FloorPerCore => {
                let threads = match peer {
                    Peer::Floor => "shared",
                    _ => "per-core",
                };
                vec![
                    port.to_string().into(),
                    guest(service.guest)?.into(),
                    threads.into(),
                ]
            }
            Peer::Cgi => {
                let source = service.native.context("there is no native program")?;
                let (shell, servers) = Cgi::start(&directory, &crate::cgi::source(source)).await?;
                return Server::cgi(shell, servers, request).await;
            }
        };
        let launch = Launch {
            program: program.into(),
            arguments,
            environment,
            directory,
            port,
        };
        Server::start(launch, request).await
    }

    fn headwater(
        &self,
        service: &Service,
        listen: &str,
        directory: &Path,
    ) -> Result<Vec<OsString>> {
        let file = match &service.settings {
            Some(settings) => settings.path(),
            None => guest(service.guest)?,
        };
        let mut arguments = vec!["serve".into(), file.into()];
        // The default is less than the long streams.
        arguments.extend(words(&["--listen", listen, "--max-body", "1GiB"]));
        arguments.push("--code-cache".into());
        arguments.push(self.cache()?.join("headwater").into());
        if let Some(upstream) = &service.upstream {
            arguments.extend(words(&["--allow-outgoing", upstream]));
        }
        if matches!(
            service.telemetry,
            Telemetry::AccessLog | Telemetry::MetricsAndAccessLog
        ) {
            arguments.extend(words(&["--access-log", "json", "--access-log-to"]));
            arguments.push(directory.join("access.log").into());
        }
        Ok(arguments)
    }

    fn telemetry(&self, telemetry: Telemetry) -> Vec<(&'static str, String)> {
        let Some(collector) = &self.collector else {
            return Vec::new();
        };
        let mut variables = match telemetry {
            Telemetry::None | Telemetry::AccessLog => return Vec::new(),
            Telemetry::Traces(share) => vec![
                ("OTEL_METRICS_EXPORTER", "none".to_owned()),
                ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
                ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
            ],
            Telemetry::MetricsAndAccessLog => vec![
                ("OTEL_TRACES_EXPORTER", "none".to_owned()),
                ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
            ],
        };
        let collector = format!("http://{}", collector.authority());
        variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", collector));
        variables
    }

    /// Returns a new folder of this run.
    pub(crate) fn fresh_folder(&self) -> Result<PathBuf> {
        let folder = TempDir::new_in(&self.folder).context("making a folder")?;
        Ok(folder.keep())
    }

    /// Returns the folder where servers may keep compiled code.
    fn cache(&self) -> Result<PathBuf> {
        let cache = self.folder.path().join("cache");
        fs::create_dir_all(&cache)?;
        Ok(cache)
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Searches `PATH` for a program.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
