use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_core::LoopGuard;
use headwater_egress::EgressShared;
use headwater_runtime::{CodeCache, Engine};
use headwater_server::{
    Front, FrontParams, InternalFront, Router, ServeOutcome, Server, ServerParams, TlsParams,
};
use headwater_telemetry::{
    AccessConfig, LogConfig, LogFormat, MetricsConfig, OtlpConfig, Telemetry, TelemetryConfig,
    TelemetryError, TreeConfig,
};
use tokio_util::sync::CancellationToken;

use crate::banner;
use crate::cli::{self, Serve, TraceArgs, When};
use crate::metrics;
use crate::services::{self, Common, Loaded, Runner};
use crate::signals::Signals;

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

/// `headwater serve`.
pub(crate) fn run(arguments: Serve) -> Result<()> {
    let planned = services::plan(&arguments)?;
    let hosting = Hosting {
        listen: arguments.listen,
        tls: None,
        drain_timeout: arguments.limits.drain_timeout,
        places: arguments.limits.places,
        cache: CodeCache::Default,
        shared: arguments.outgoing.shared(),
        loops: arguments.limits.loops()?,
    };
    host(
        hosting,
        &arguments.traces,
        move |engine, address, common| {
            // Not before now: it is said where logs go.
            arguments.connecting.note_unused_environment();
            let services = services::load(engine, planned, address, common)?;
            let unusable = || format!("cannot serve `{}`", arguments.file.display());
            let internal = services::connect(&services, common).with_context(unusable)?;
            let router = services::router(&services).with_context(unusable)?;
            Ok(Hosted {
                internal,
                banner: banner::lines(&services, address),
                services,
                router,
            })
        },
    )
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
}

/// What it serves.
pub(crate) struct Hosted {
    pub(crate) services: Vec<Loaded>,
    pub(crate) router: Router,
    /// By which services reach each other.
    pub(crate) internal: Vec<Arc<InternalFront>>,
    /// Said when it listens.
    pub(crate) banner: Vec<String>,
}

/// Serves what `load` makes, until a signal ends it. `load` is called where a thread may be held up.
pub(crate) fn host(
    hosting: Hosting,
    traces: &TraceArgs,
    load: impl FnOnce(&Engine, SocketAddr, &Common) -> Result<Hosted> + Send + 'static,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let telemetry =
        headwater_telemetry::init(telemetry_config(traces)?).map_err(|error| match error {
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

async fn serve(
    hosting: Hosting,
    load: impl FnOnce(&Engine, SocketAddr, &Common) -> Result<Hosted> + Send + 'static,
    telemetry: &Telemetry,
) -> Result<()> {
    let metrics = telemetry.metrics();
    let Hosting {
        listen,
        tls,
        drain_timeout,
        places,
        cache,
        shared,
        loops,
    } = hosting;
    let server = Server::bind(ServerParams {
        listen,
        tls,
        drain_timeout,
        ..ServerParams::default()
    })
    .await?;
    let address = server.local_addr();

    let engine = Arc::new(Engine::with_cache(places, &cache)?);
    let common = Arc::new(Common {
        metrics: metrics.clone(),
        access: telemetry.access().clone(),
        shared,
        loops: loops.clone(),
        ..Common::default()
    });
    let Hosted {
        services,
        router,
        banner,
        // Kept to the end: the services hold each other by it.
        internal: _internal,
    } = tokio::task::spawn_blocking({
        let engine = engine.clone();
        move || load(&engine, address, &common)
    })
    .await
    .context("loading was interrupted")??;

    metrics::observe_pools(&metrics.meter(), &services);
    metrics::observe_outgoing(&metrics.meter(), &services);

    // Before anybody is told that the host is up: until then a signal would end it on the spot, and
    // take with it what was not written yet.
    let signals = Signals::listen().context("signals cannot be received")?;
    banner::print(&banner);
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(signals, shutdown.clone()));
    let drain_began = tokio::spawn(moment_of(shutdown.clone()));
    let front = Front::new(
        FrontParams {
            metrics: metrics.clone(),
            access: telemetry.access().clone(),
            loops,
            ..FrontParams::default()
        },
        router,
    );
    let outcome = server.serve(front, shutdown).await;
    if let Ok(began) = drain_began.await {
        finish_background_work(&services, began + drain_timeout).await;
    }
    signals.abort();
    match outcome {
        ServeOutcome::Drained => Ok(()),
        ServeOutcome::Cut { connections } => anyhow::bail!(
            "{connections} connections were cut with requests in flight when the drain's time was \
             over; --drain-timeout gives them longer"
        ),
    }
}

async fn moment_of(shutdown: CancellationToken) -> Instant {
    shutdown.cancelled_owned().await;
    Instant::now()
}

/// Lets guests finish what they still do for requests that have their answer.
async fn finish_background_work(services: &[Loaded], until: Instant) {
    let idle = async {
        for service in services {
            if let Runner::Component(component) = &service.runner {
                component.idle().await;
            }
        }
    };
    if tokio::time::timeout_at(until.into(), idle).await.is_err() {
        tracing::warn!("guests had work left that they did after their responses: it was ended");
    }
}

/// The first signal starts the drain, the second ends the process at once.
async fn cancel_on_signal(mut signals: Signals, shutdown: CancellationToken) {
    signals.next().await;
    tracing::info!("draining: no new connections; a second signal ends at once");
    shutdown.cancel();
    signals.next().await;
    std::process::exit(1);
}

fn telemetry_config(arguments: &TraceArgs) -> Result<TelemetryConfig> {
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
        access: arguments.access_log.then(AccessConfig::default),
        audit_file: arguments.audit_log.clone(),
        trace_file: arguments.trace_file.clone(),
        trace_tree: tree.then(TreeConfig::stderr),
        otlp: OtlpConfig::from_env()?,
        metrics: MetricsConfig::from_env()?,
        prometheus: false,
    })
}
