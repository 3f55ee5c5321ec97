//! The process of a host from its start to its end: threads, signals, telemetry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_server::ServeOutcome;
use headwater_telemetry::{Outputs, Telemetry, TelemetryError, console};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::convert;
use crate::convert::operation::Operation;
use crate::exit::{Cut, Usage};
use crate::host::{Host, HostBuilder};
use crate::metrics;
use crate::reload::RunningHost;
use crate::run::descriptors;
use crate::run::memory;
use crate::run::panics;
use crate::run::records::{Started, Stopped};
use crate::run::signals::{Asked, Signals};
use crate::run::starting::{Ended, Starting};
use crate::watch::FileWatch;

/// The time that a thread in a blocking call may delay the end of the process.
const ABANDON: Duration = Duration::from_secs(1);

/// The time that a second signal waits for the log to be written.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The exit code if a second signal ends the process, the same as a shell's for Ctrl-C.
const SECOND_SIGNAL: i32 = 130;

pub(crate) struct Hosting {
    pub(crate) host: HostBuilder,
    /// The words before each address, once requests are accepted.
    pub(crate) announcement: &'static str,
    pub(crate) operation: Operation,
}

struct Ready {
    host: Host,
    admin: Option<Admin>,
    watch: Option<FileWatch>,
}

/// Serves the result of `prepare` until a signal ends it. Signals are handled from now on, also
/// during `prepare`, which runs on a thread that may block.
pub(crate) fn serve(prepare: impl FnOnce() -> Result<Hosting> + Send + 'static) -> Result<()> {
    let began = Instant::now();
    // Accepts connections and answers administrators. The host's serving threads do the rest.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut starting = Starting::begin(&runtime)?;
    let outputs = Outputs::default();
    let prepared = async { starting.step(&outputs, spawn_blocking(prepare)).await };
    let hosting = match runtime.block_on(prepared) {
        Ok(prepared) => prepared.context("the start was interrupted").flatten()?,
        Err(Ended) => {
            runtime.shutdown_background();
            return Ok(());
        }
    };
    let telemetry = hosting.operation.telemetry()?;
    let telemetry = headwater_telemetry::init(telemetry).map_err(|error| match error {
        TelemetryError::LogFilter { .. } | TelemetryError::LogWord { .. } => {
            Usage(format!("--log, or RUST_LOG: {error}")).into()
        }
        error => anyhow::Error::from(error),
    })?;
    panics::log();
    descriptors::raise(convert::host::connections(&hosting.operation.server).max_connections);
    let served = runtime.block_on(run(hosting, &telemetry, starting, began));
    // Ends background work of guests, and so the spans of their open calls. Then writes what was
    // recorded, whatever the result of serving.
    runtime.shutdown_timeout(ABANDON);
    telemetry.shutdown();
    served
}

async fn run(
    hosting: Hosting,
    telemetry: &Telemetry,
    mut starting: Starting,
    began: Instant,
) -> Result<()> {
    let announcement = hosting.announcement;
    let log = hosting.operation.log_format();
    let outputs = telemetry.outputs();
    let ready = match starting.step(outputs, start(hosting, telemetry)).await {
        Ok(ready) => ready?,
        Err(Ended) => {
            Stopped {
                began,
                requests: 0,
                cut: 0,
            }
            .tell();
            return Ok(());
        }
    };
    let Ready { host, admin, watch } = ready;
    let running = host.running().clone();
    if let Some(admin) = &admin {
        admin.ready(&running);
    }
    let addresses: Vec<_> = host.addresses().iter().map(ToString::to_string).collect();
    let services = running.registry().current();
    let services = services.iter().filter(|service| !service.is_middleware());
    let services: Vec<_> = services.map(|service| &**service.name()).collect();
    let url = |address: Option<SocketAddr>| address.map(|address| format!("http://{address}"));
    Started {
        banner: host.banner(),
        announcement,
        listeners: &addresses,
        admin: url(admin.as_ref().and_then(Admin::address)),
        probes: url(admin.as_ref().and_then(Admin::probes)),
        services: &services,
    }
    .tell(log);
    let (signals, reload) = starting.done();
    let stopped = |cut| Stopped {
        began,
        requests: running.front().taken(),
        cut,
    };
    let (shutdown, at_once) = (CancellationToken::new(), CancellationToken::new());
    if reload {
        tokio::spawn(reload_again(running.clone(), shutdown.clone()));
    }
    let obeying = Obeying {
        running: running.clone(),
        admin,
        outputs: outputs.clone(),
        shutdown: shutdown.clone(),
        at_once: at_once.clone(),
    };
    let signals = tokio::spawn(obeying.obey(signals));
    let load = {
        let (running, connections) = (running.clone(), host.connections());
        move || {
            let connections = connections.as_ref().map_or(0, |it| it.total().open);
            running.front().in_flight() + connections + running.registry().instances()
        }
    };
    let giving_back = tokio::spawn(memory::give_back(
        load,
        running.reclaim().clone(),
        host.runtimes(),
        running.threads().clone(),
    ));
    let watching = watch.map(|watch| tokio::spawn(watch.run(running.clone())));
    let serving = async {
        let outcome = host.run(shutdown).await;
        if let Some(watching) = watching {
            watching.abort();
        }
        outcome
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        // Dropping the server removes the files of its sockets.
        cut = in_flight_at(&at_once, &running) => {
            stopped(cut).tell();
            console::flush(LAST_WORDS);
            std::process::exit(SECOND_SIGNAL)
        }
    };
    signals.abort();
    giving_back.abort();
    match outcome {
        ServeOutcome::Drained => {
            stopped(0).tell();
            Ok(())
        }
        ServeOutcome::Cut {
            connections,
            requests,
        } => {
            stopped(requests).tell();
            Err(Cut { connections }.into())
        }
    }
}

/// Binds the addresses, and loads the services.
async fn start(hosting: Hosting, telemetry: &Telemetry) -> Result<Ready> {
    let metrics = telemetry.metrics();
    let Hosting {
        host,
        announcement: _,
        operation,
    } = hosting;
    let Operation {
        server: settings,
        admin,
        watch,
        ..
    } = operation;
    let explain = settings.explain.unwrap_or_default();
    let host = host
        .settings(settings)
        .metrics(metrics.clone())
        .access_log(telemetry.access().clone())
        .keep_requests(admin.listen.is_some());
    let host = host.bind().await?;
    // Bind the admin listener before loading, which may take a while, so that it can report the
    // state.
    let admin = match admin.is_on() {
        true => Some(Admin::bind(&admin, telemetry).await?),
        false => None,
    };
    if explain {
        tracing::warn!(
            target: "headwater::host", "answers tell clients why requests failed and what services may reach (--explain, \
             HEADWATER_EXPLAIN, or `explain` in [server]): for development only"
        );
    }
    let host = host.load().await?;
    metrics::observe_build(&metrics.meter());
    metrics::observe_process(&metrics.meter());
    let watch = watch.then(|| FileWatch::begin(&host.running().files()));
    Ok(Ready { host, admin, watch })
}

/// Returns the number of requests in flight when the token is cancelled.
async fn in_flight_at(at_once: &CancellationToken, running: &RunningHost) -> usize {
    at_once.cancelled().await;
    running.front().in_flight()
}

/// Reloads, which logs the result. A shutdown cancels the reload: it would fail.
async fn reload_again(running: Arc<RunningHost>, shutdown: CancellationToken) {
    // `reload` logs the result.
    if shutdown
        .run_until_cancelled(running.reload())
        .await
        .is_none()
    {
        tracing::debug!(target: "headwater::reload", "reload cancelled: the host is ending");
    }
}

/// The parts that signals act on.
struct Obeying {
    running: Arc<RunningHost>,
    admin: Option<Admin>,
    outputs: Outputs,
    shutdown: CancellationToken,
    at_once: CancellationToken,
}

// === impl Obeying ===

impl Obeying {
    /// Handles signals. The first one that asks for the end starts the drain, the second ends the
    /// process at once.
    async fn obey(self, mut signals: Signals) {
        loop {
            match signals.next().await {
                // A task of its own, so that other signals need not wait.
                Asked::Reload => {
                    tokio::spawn(reload_again(self.running.clone(), self.shutdown.clone()));
                }
                Asked::Reopen => self.outputs.reopen(),
                Asked::End if self.shutdown.is_cancelled() => self.at_once.cancel(),
                Asked::End => {
                    tracing::info!(target: "headwater::host", "draining: no new connections; a second signal ends the process at once");
                    if let Some(admin) = &self.admin {
                        admin.draining();
                    }
                    self.shutdown.cancel();
                }
            }
        }
    }
}
