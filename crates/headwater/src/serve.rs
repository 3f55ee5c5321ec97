use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_core::LoopGuard;
use headwater_egress::EgressShared;
use headwater_runtime::{CodeCache, Engine};
use headwater_server::{
    ForwardedParams, FrontParams, RequestLimits, ServeOutcome, Server, ServerParams, TlsParams,
};
use headwater_telemetry::{
    LogConfig, LogFormat, MetricsConfig, OtlpConfig, Telemetry, TelemetryConfig, TelemetryError,
    TreeConfig,
};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::banner;
use crate::cli::operation::OperationArgs;
use crate::cli::{self, Serve, TraceArgs, When};
use crate::live::{Hosted, Live, Load, Loading};
use crate::metrics;
use crate::roster::Roster;
use crate::services::{self, Common, Plan, Planned};
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

/// The exit code when a second signal ends the process: what a shell says of Ctrl-C.
const SECOND_SIGNAL: i32 = 130;

/// `headwater serve`.
pub(crate) fn run(arguments: Serve) -> Result<()> {
    // Before anything is started: what is wrong with it is said at once.
    let planned = Mutex::new(Some(services::plan(&arguments)?));
    let hosting = Hosting {
        listen: arguments.listen,
        tls: arguments.front.tls()?,
        drain_timeout: arguments.limits.drain_timeout,
        places: arguments.limits.places,
        cache: CodeCache::Default,
        shared: arguments.outgoing.shared(),
        loops: arguments.limits.loops()?,
        requests: arguments.front.requests(),
        forwarded: arguments.front.forwarded(),
        operation: arguments.operation.clone(),
    };
    // Not before now: it is said where logs go.
    let said = Once::new();
    let traces = arguments.traces.clone();
    let load = move |loading: &Loading| {
        said.call_once(|| arguments.connecting.note_unused_environment());
        let planned = planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Plan { services, builtins } = match planned {
            Some(planned) => planned,
            None => services::plan(&arguments)?,
        };
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
    host(hosting, &traces, Box::new(load))
}

/// How the process serves, whatever it serves.
pub(crate) struct Hosting {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<TlsParams>,
    pub(crate) drain_timeout: Duration,
    pub(crate) places: u32,
    pub(crate) cache: CodeCache,
    /// What bounds the outgoing requests of all services.
    pub(crate) shared: EgressShared,
    /// What ends loops.
    pub(crate) loops: LoopGuard,
    /// What a request may ask for.
    pub(crate) requests: RequestLimits,
    /// What is believed of proxies.
    pub(crate) forwarded: ForwardedParams,
    pub(crate) operation: OperationArgs,
}

/// Serves what `load` makes, until a signal ends it.
pub(crate) fn host(hosting: Hosting, traces: &TraceArgs, load: Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let telemetry = telemetry_config(traces, &hosting.operation)?;
    let telemetry = headwater_telemetry::init(telemetry).map_err(|error| match error {
        TelemetryError::LogFilter { .. } => Usage(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
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
        listen,
        tls,
        drain_timeout,
        places,
        cache,
        shared,
        loops,
        requests,
        forwarded,
        operation,
    } = hosting;
    let server = Server::bind(ServerParams {
        listen,
        tls,
        drain_timeout,
        ..ServerParams::default()
    })
    .await?;
    let scheme = if server.is_tls() { "https" } else { "http" };
    let address = server.local_addr();
    // Before anything is loaded, which may take a while: whoever asks is told so.
    let admin = match operation.admin {
        Some(address) => Some(Admin::bind(address, telemetry).await?),
        None => None,
    };

    let loading = Loading {
        engine: Engine::with_cache(places, &cache)?,
        authority: address.to_string(),
        common: Common {
            metrics: metrics.clone(),
            access: telemetry.access().clone(),
            shared,
            loops: loops.clone(),
            ..Common::default()
        },
        roster: Roster::default(),
    };
    let front = FrontParams {
        metrics: metrics.clone(),
        access: telemetry.access().clone(),
        loops,
        limits: requests,
        forwarded,
        keep_requests: admin.is_some(),
        ..FrontParams::default()
    };
    let (live, banner) = Live::start(load, loading, front, drain_timeout).await?;
    metrics::observe_pools(&metrics.meter(), live.roster());
    metrics::observe_outgoing(&metrics.meter(), live.roster());
    let watch = operation
        .watch
        .then(|| FileWatch::begin(&live.files()))
        .transpose()?;

    // Before anybody is told that the host is up: until then a signal would end it on the spot, and
    // take with it what was not written yet.
    let signals = Signals::listen().context("signals cannot be received")?;
    banner::print(&banner);
    if let Some(admin) = &admin {
        banner::print(&[format!("Admin on http://{}", admin.address())]);
        admin.ready(&live);
    }
    banner::print(&[operation.announce(scheme, address)]);
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(obey(signals, live.clone(), admin.clone(), shutdown.clone()));
    let watching = watch.map(|watch| tokio::spawn(watch.run(live.clone())));
    let drain_began = tokio::spawn(moment_of(shutdown.clone()));
    let outcome = server.serve(live.front().clone(), shutdown).await;
    if let Some(watching) = watching {
        watching.abort();
    }
    if let Ok(began) = drain_began.await {
        finish_background_work(&live, began + drain_timeout).await;
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

fn telemetry_config(arguments: &TraceArgs, operation: &OperationArgs) -> Result<TelemetryConfig> {
    let tree = match arguments.trace_tree {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stderr().is_terminal(),
    };
    Ok(TelemetryConfig {
        log: LogConfig {
            filter: arguments.log.clone(),
            format: match arguments.log_format {
                cli::LogFormat::Text => LogFormat::Text,
                cli::LogFormat::Json => LogFormat::Json,
            },
            ..LogConfig::default()
        },
        access: arguments.access.config(),
        audit_file: arguments.audit_log.clone(),
        trace_file: arguments.trace_file.clone(),
        trace_tree: tree.then(TreeConfig::stderr),
        otlp: OtlpConfig::from_env()?,
        metrics: MetricsConfig::from_env()?,
        prometheus: operation.admin.is_some(),
    })
}
