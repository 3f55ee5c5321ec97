//! A host from its start to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_runtime::{CodeCache, Engine};
use headwater_server::{
    BoundAddress, ForwardedParams, FrontParams, ListenerParams, ServeOutcome, Server, ServerParams,
};
use headwater_telemetry::{Telemetry, TelemetryError, console};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::descriptors;
use crate::exit::{Cut, Usage};
use crate::front;
use crate::live::{Live, Load, Loading};
use crate::metrics;
use crate::operation::Operation;
use crate::panics;
use crate::roster::Roster;
use crate::services::Common;
use crate::signals::{Asked, Signals};
use crate::watch::FileWatch;

/// How long a thread that is in a blocking call may hold up the end of the process.
const ABANDON: Duration = Duration::from_secs(1);

/// How long a second signal waits for the log to be written.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The exit code when a second signal ends the process: what a shell says of Ctrl-C.
const SECOND_SIGNAL: i32 = 130;

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

/// Serves what `load` makes, until a signal ends it.
pub(crate) fn host(hosting: Hosting, load: Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve requests")?;
    let telemetry = hosting.operation.telemetry()?;
    let telemetry = headwater_telemetry::init(telemetry).map_err(|error| match error {
        TelemetryError::LogFilter { .. } | TelemetryError::LogWord { .. } => {
            Usage(format!("--log, or RUST_LOG: {error}")).into()
        }
        error => anyhow::Error::from(error),
    })?;
    panics::log();
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
        ..
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
        Some(address) => Some(Admin::bind(address, telemetry).await?),
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
    let mut told = banner;
    if let Some(admin) = &admin {
        told.push(format!("Admin on http://{}", admin.address()));
        admin.ready(&live);
    }
    told.extend(
        addresses
            .iter()
            .map(|address| format!("{announcement} {address}")),
    );
    told.iter()
        .for_each(|line| console::print(&format!("{line}\n")));
    let (shutdown, at_once) = (CancellationToken::new(), CancellationToken::new());
    let ends = (shutdown.clone(), at_once.clone());
    let signals = tokio::spawn(obey(signals, live.clone(), admin.clone(), ends));
    let watching = watch.map(|watch| tokio::spawn(watch.run(live.clone())));
    let drain_began = tokio::spawn(moment_of(shutdown.clone()));
    let serving = async {
        let outcome = server.serve(live.front().clone(), shutdown).await;
        if let Some(watching) = watching {
            watching.abort();
        }
        // Of what was cut it is told that it was, and no time is left for anything else.
        if let (ServeOutcome::Drained, Ok(began)) = (outcome, drain_began.await) {
            finish_background_work(&live, began + drain.delay + drain_timeout).await;
        }
        outcome
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        // With what serves go the files of its sockets.
        () = at_once.cancelled() => {
            console::flush(LAST_WORDS);
            std::process::exit(SECOND_SIGNAL)
        }
    };
    signals.abort();
    match outcome {
        ServeOutcome::Drained => Ok(()),
        ServeOutcome::Cut { connections } => Err(Cut { connections }.into()),
    }
}

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
    (shutdown, at_once): (CancellationToken, CancellationToken),
) {
    loop {
        match signals.next().await {
            // It says in the log what became of it. A signal that comes meanwhile is not kept waiting.
            Asked::Reload => drop(tokio::spawn({
                let live = live.clone();
                async move { live.reload().await }
            })),
            Asked::End if shutdown.is_cancelled() => at_once.cancel(),
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
