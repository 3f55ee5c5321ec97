use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_config::ListenAddress;
use headwater_config::settings::{ServerSettings, TelemetrySettings, When};
use headwater_runtime::{CodeCache, Engine};
use headwater_server::{
    BoundAddress, ForwardedParams, FrontParams, ListenerParams, ServeOutcome, Server, ServerParams,
};
use headwater_telemetry::{
    AccessConfig, MetricsConfig, OtlpConfig, Telemetry, TelemetryConfig, TelemetryError, TreeConfig,
};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::banner;
use crate::cli::{OperationArgs, Serve};
use crate::connecting;
use crate::descriptors;
use crate::front;
use crate::live::{Hosted, Live, Load, Loading};
use crate::metrics;
use crate::roster::Roster;
use crate::services::{self, Common, HostSettings, Plan, Planned};
use crate::signals::{Asked, Signals};
use crate::watch::FileWatch;

/// Flags that do not go together. Ends the process with the exit code of wrong usage.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// How long a thread that is in a blocking call may hold up the end of the process.
const ABANDON: Duration = Duration::from_secs(1);

/// Where the admin listener is if nobody says: on this machine only.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_901);

/// The exit code when a second signal ends the process: what a shell says of Ctrl-C.
const SECOND_SIGNAL: i32 = 130;

/// `headwater serve`.
pub(crate) fn run(arguments: Serve) -> Result<()> {
    // Before anything is started: what is wrong with it is said at once.
    let planned = services::plan(&arguments)?;
    let operation = Operation::new(&arguments.operation, &planned.host);
    let listeners = arguments.listen.listeners(&planned.host.listeners);
    let listeners = listeners.map_err(|error| Usage(error.to_string()))?;
    let listeners = listeners
        .iter()
        .map(|listener| {
            front::listener(listener)
                .with_context(|| format!("cannot listen on {}", listener.listen))
        })
        .collect::<Result<_>>()?;
    let hosting = Hosting {
        listeners,
        cache: CodeCache::Default,
        rewrite_forwarded: true,
        announcement: "Listening on",
        operation,
    };
    // What is in force is what was there at the start.
    let known = planned.host.clone();
    let planned = Mutex::new(Some(planned));
    // Not before now: it is said where logs go.
    let said = Once::new();
    let load = move |loading: &Loading| {
        let planned = planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let again = planned.is_none();
        let Plan {
            services,
            builtins,
            host,
        } = match planned {
            Some(planned) => planned,
            None => services::plan(&arguments)?,
        };
        if again && host != known {
            tracing::warn!(
                target: "headwater::reload",
                "`[[listener]]` and the sections `[server]`, `[admin]`, `[access_log]`, `[reload]` and \
                 `[telemetry]` count from the next start on: what they say was changed, and is not in force"
            );
        }
        if !services.iter().any(Planned::says_proxy) {
            said.call_once(connecting::note_unused_environment);
        }
        let mut files = vec![arguments.file.clone()];
        files.extend(services.iter().flat_map(Planned::files));
        let services = services::load(services, loading)?;
        let unusable = || format!("cannot serve `{}`", arguments.file.display());
        let router = services::router(&services, &builtins).with_context(unusable)?;
        Ok(Hosted {
            internal: services::fronts(&services, &loading.common),
            banner: banner::lines(&services, &builtins),
            services,
            router,
            files,
        })
    };
    host(hosting, Box::new(load))
}

/// How the process serves, whatever it serves.
pub(crate) struct Hosting {
    pub(crate) listeners: Vec<ListenerParams>,
    pub(crate) cache: CodeCache,
    /// Whether guests are told of clients in fields that the front makes anew.
    pub(crate) rewrite_forwarded: bool,
    /// What is said before the address, when requests are taken.
    pub(crate) announcement: &'static str,
    pub(crate) operation: Operation,
}

/// How the host is operated: what flags and variables say, and where they are silent, the file.
pub(crate) struct Operation {
    server: ServerSettings,
    admin: Option<ListenAddress>,
    watch: bool,
    access_log: Option<AccessConfig>,
    telemetry: TelemetrySettings,
}

// === impl Operation ===

impl Operation {
    pub(crate) fn new(flags: &OperationArgs, file: &HostSettings) -> Self {
        let flags = flags.clone();
        // A section turns on what it is about, and so does any of the flags.
        let admin = flags.admin.or(file.admin.clone().unwrap_or_default());
        let admin = match (admin.listen, &file.admin) {
            (Some(listen), _) => Some(listen),
            (None, Some(_)) => Some(ListenAddress::Tcp(ADMIN)),
            (None, None) => None,
        };
        let asked = flags.access_log.is_given() || file.access_log.is_some();
        let access_log = flags
            .access_log
            .or(file.access_log.clone().unwrap_or_default());
        Self {
            server: flags.server.or(file.server.clone()),
            admin,
            watch: flags.reload.or(file.reload.clone()).watch.unwrap_or(false),
            access_log: asked.then(|| front::access_log(&access_log)),
            telemetry: flags.telemetry.or(file.telemetry.clone()),
        }
    }

    /// Connections and requests.
    pub(crate) fn server(&self) -> &ServerSettings {
        &self.server
    }
}

/// Serves what `load` makes, until a signal ends it.
pub(crate) fn host(hosting: Hosting, load: Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let telemetry = telemetry_config(&hosting.operation)?;
    let telemetry = headwater_telemetry::init(telemetry).map_err(|error| match error {
        TelemetryError::LogFilter { .. } => Usage(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    descriptors::raise(front::connections(&hosting.operation.server).max_connections);
    let served = runtime.block_on(serve(hosting, load, &telemetry));
    // Ends what guests still do in the background, and with it the spans of their open calls; then
    // what was recorded is written, whatever became of serving.
    runtime.shutdown_timeout(ABANDON);
    telemetry.shutdown();
    served
}

async fn serve(hosting: Hosting, load: Load, telemetry: &Telemetry) -> Result<()> {
    let metrics = telemetry.metrics();
    let Hosting {
        listeners,
        cache,
        rewrite_forwarded,
        announcement,
        operation,
    } = hosting;
    let Operation {
        server: settings,
        admin,
        watch,
        access_log: _,
        telemetry: _,
    } = operation;
    let drain = front::drain(&settings);
    let drain_timeout = drain.timeout;
    let loops = front::loops(&settings)?;
    let server = Server::bind(ServerParams {
        listeners,
        limits: front::connections(&settings),
        connection: front::connection(&settings),
        drain: drain.clone(),
        ..ServerParams::default()
    })
    .await?;
    metrics::observe_connections(&metrics.meter(), &server.connections());
    let addresses: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
    let authority = server
        .addresses()
        .iter()
        .find_map(BoundAddress::socket_addr);
    let certificates = server.certificates();
    // Before anything is loaded, which may take a while: whoever asks is told so.
    let admin = match admin {
        Some(address) => Some(Admin::bind(&address, telemetry).await?),
        None => None,
    };

    let loading = Loading {
        engine: Engine::with_cache(front::places(&settings), &cache)?,
        // Who comes by a Unix-domain socket names whatever they like.
        authority: authority.map_or_else(|| "localhost".to_owned(), |address| address.to_string()),
        common: Common {
            metrics: metrics.clone(),
            access: telemetry.access().clone(),
            shared: front::shared(&settings),
            loops: loops.clone(),
            ..Common::default()
        },
        roster: Roster::default(),
    };
    let front = FrontParams {
        metrics: metrics.clone(),
        access: telemetry.access().clone(),
        loops,
        limits: front::requests(&settings),
        forwarded: ForwardedParams {
            rewrite: rewrite_forwarded,
            ..front::forwarded(&settings)
        },
        linger: front::linger(&settings),
        keep_requests: admin.is_some(),
    };
    let (live, banner) = Live::start(load, loading, front, certificates, drain_timeout).await?;
    metrics::observe_pools(&metrics.meter(), live.roster());
    metrics::observe_outgoing(&metrics.meter(), live.roster());
    let watch = watch.then(|| FileWatch::begin(&live.files())).transpose()?;

    // Before anybody is told that the host is up: until then a signal would end it on the spot, and
    // take with it what was not written yet.
    let signals = Signals::listen().context("signals cannot be received")?;
    banner::print(&banner);
    if let Some(admin) = &admin {
        banner::print(&[format!("Admin on http://{}", admin.address())]);
        admin.ready(&live);
    }
    for address in addresses {
        banner::print(&[format!("{announcement} {address}")]);
    }
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(obey(signals, live.clone(), admin.clone(), shutdown.clone()));
    let watching = watch.map(|watch| tokio::spawn(watch.run(live.clone())));
    let drain_began = tokio::spawn(moment_of(shutdown.clone()));
    let outcome = server.serve(live.front().clone(), shutdown).await;
    if let Some(watching) = watching {
        watching.abort();
    }
    if let Ok(began) = drain_began.await {
        finish_background_work(&live, began + drain.delay + drain_timeout).await;
    }
    signals.abort();
    match outcome {
        ServeOutcome::Drained => Ok(()),
        ServeOutcome::Cut { connections } => Err(Cut { connections }.into()),
    }
}

/// The drain's time was over, and requests were cut. Ends the process with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Cut {
    connections: usize,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} connections were cut with requests in flight when the drain's time was over; \
             --drain-timeout gives them longer",
            self.connections
        )
    }
}

impl std::error::Error for Cut {}

async fn moment_of(shutdown: CancellationToken) -> Instant {
    shutdown.cancelled_owned().await;
    Instant::now()
}

/// Lets guests finish what they still do for requests that have their answer.
async fn finish_background_work(live: &Live, until: Instant) {
    if tokio::time::timeout_at(until.into(), live.idle())
        .await
        .is_err()
    {
        tracing::warn!("guests had work left that they did after their responses: it was ended");
    }
}

/// The first signal that asks for the end starts the drain, the second ends the process at once.
async fn obey(
    mut signals: Signals,
    live: Arc<Live>,
    admin: Option<Admin>,
    shutdown: CancellationToken,
) {
    loop {
        match signals.next().await {
            // It says in the log what became of it. A signal that comes meanwhile is not kept waiting.
            Asked::Reload => drop(tokio::spawn({
                let live = live.clone();
                async move { live.reload().await }
            })),
            Asked::End if shutdown.is_cancelled() => std::process::exit(SECOND_SIGNAL),
            Asked::End => {
                tracing::info!("draining: no new connections; a second signal ends at once");
                if let Some(admin) = &admin {
                    admin.draining();
                }
                shutdown.cancel();
            }
        }
    }
}

fn telemetry_config(operation: &Operation) -> Result<TelemetryConfig> {
    let TelemetrySettings {
        trace_file,
        audit_log,
        trace_tree,
        log,
        log_format,
    } = operation.telemetry.clone();
    let tree = match trace_tree.unwrap_or(When::Auto) {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stderr().is_terminal(),
    };
    Ok(TelemetryConfig {
        log: front::log(log, log_format),
        access: operation.access_log.clone(),
        audit_file: audit_log,
        trace_file,
        trace_tree: tree.then(TreeConfig::stderr),
        otlp: OtlpConfig::from_env()?,
        metrics: MetricsConfig::from_env()?,
        prometheus: operation.admin.is_some(),
    })
}
