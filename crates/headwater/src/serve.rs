use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_runtime::Engine;
use headwater_server::{ServeOutcome, Server, ServerParams};
use headwater_telemetry::{
    LogConfig, LogFormat, Metrics, MetricsConfig, OtlpConfig, TelemetryConfig, TelemetryError,
    TreeConfig,
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let telemetry = headwater_telemetry::init(telemetry_config(&arguments.traces)?).map_err(
        |error| match error {
            TelemetryError::LogFilter { .. } => Usage(error.to_string()).into(),
            error => anyhow::Error::from(error),
        },
    )?;
    arguments.connecting.note_unused_environment();
    let served = runtime.block_on(serve(&arguments, planned, telemetry.metrics()));
    // Ends what guests still do in the background, and with it the spans of their open calls; then
    // what was recorded is written, whatever became of serving.
    runtime.shutdown_timeout(ABANDON);
    telemetry.shutdown();
    served
}

async fn serve(
    arguments: &Serve,
    planned: Vec<services::Planned>,
    metrics: &Metrics,
) -> Result<()> {
    let loops = arguments.limits.loops()?;
    let server = Server::bind(ServerParams {
        listen: arguments.listen,
        drain_timeout: arguments.limits.drain_timeout,
        metrics: metrics.clone(),
        loops: loops.clone(),
        ..ServerParams::default()
    })
    .await?;
    let address = server.local_addr();

    let engine = Arc::new(Engine::with_places(arguments.limits.places)?);
    let common = Arc::new(Common {
        metrics: metrics.clone(),
        shared: arguments.outgoing.shared(),
        loops,
        ..Common::default()
    });
    let loaded = tokio::task::spawn_blocking({
        let engine = engine.clone();
        let common = common.clone();
        move || services::load(&engine, planned, address, &common)
    })
    .await
    .context("loading was interrupted")??;
    // Kept to the end: the services hold each other by it.
    let _internal = services::connect(&loaded, &common)
        .with_context(|| format!("cannot serve `{}`", arguments.file.display()))?;
    let router = services::router(&loaded)
        .with_context(|| format!("cannot serve `{}`", arguments.file.display()))?;

    metrics::observe_pools(&metrics.meter(), &loaded);
    metrics::observe_outgoing(&metrics.meter(), &loaded);

    // Before anybody is told that the host is up: until then a signal would end it on the spot, and
    // take with it what was not written yet.
    let signals = Signals::listen().context("signals cannot be received")?;
    banner::print(&loaded, address);
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(signals, shutdown.clone()));
    let drain_began = tokio::spawn(moment_of(shutdown.clone()));
    let outcome = server.serve(router, shutdown).await;
    if let Ok(began) = drain_began.await {
        finish_background_work(&loaded, began + arguments.limits.drain_timeout).await;
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
            access: arguments.access_log,
            ..LogConfig::default()
        },
        audit_file: arguments.audit_log.clone(),
        trace_file: arguments.trace_file.clone(),
        trace_tree: tree.then(TreeConfig::stderr),
        otlp: OtlpConfig::from_env()?,
        metrics: MetricsConfig::from_env()?,
    })
}
