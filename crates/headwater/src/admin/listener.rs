use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use headwater_telemetry::{LogLevel, Prometheus, Telemetry};
use serde_json::json;
use tokio::net::TcpListener;

use super::guard::{self, Guard};
use super::{AdminParams, view};
use crate::reload::RunningHost;

/// What the admin listener offers, as it tells who asks for `/`.
const OFFERED: &str = "\
GET  /healthz   the process lives
GET  /readyz    it takes requests; 503 while it loads or drains
GET  /metrics   metrics, for Prometheus
GET  /services  what is served, with its instances
GET  /requests  the requests in flight, the oldest first
POST /reload    load again; answers when it is done
GET  /log       what is logged, as a filter
PUT  /log       log what this filter says from now on
";

/// What the listener for probes offers.
const OFFERED_TO_PROBES: &str = "\
GET  /healthz   the process lives
GET  /readyz    it takes requests; 503 while it loads or drains
GET  /metrics   metrics, for Prometheus
";

/// The admin listener, and that for probes. Cheap to clone; they go on until the process ends.
#[derive(Clone)]
pub(crate) struct Admin {
    address: Option<SocketAddr>,
    probes: Option<SocketAddr>,
    state: Arc<Known>,
}

/// What it answers from.
struct Known {
    /// None until all is loaded.
    running: OnceLock<Arc<RunningHost>>,
    draining: AtomicBool,
    prometheus: Option<Prometheus>,
    log: LogLevel,
}

/// Nothing is loaded yet.
struct Starting;

// === impl Admin ===

impl Admin {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses an address.
    pub(crate) async fn bind(params: &AdminParams, telemetry: &Telemetry) -> Result<Self> {
        let AdminParams {
            listen,
            probes,
            hosts,
            token,
        } = params;
        let state = Arc::new(Known {
            running: OnceLock::new(),
            draining: AtomicBool::new(false),
            prometheus: telemetry.prometheus().cloned(),
            log: telemetry.log_level().clone(),
        });
        let address = match listen {
            Some(address) => {
                let guard = Guard::new(token.as_ref(), hosts);
                Some(listen_at(*address, "--admin", router(guard, state.clone())).await?)
            }
            None => None,
        };
        let probes = match probes {
            Some(address) => {
                let router = router_of_probes(Guard::pages(hosts), state.clone());
                Some(listen_at(*address, "--admin-probes", router).await?)
            }
            None => None,
        };
        Ok(Self {
            address,
            probes,
            state,
        })
    }

    /// Where it listens, if it does.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where probes are answered, and nobody else.
    pub(crate) fn probes(&self) -> Option<SocketAddr> {
        self.probes
    }

    /// Requests are taken from now on.
    pub(crate) fn ready(&self, running: &Arc<RunningHost>) {
        // Called once.
        let _ = self.state.running.set(running.clone());
    }

    /// No requests are taken any more.
    pub(crate) fn draining(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }
}

/// Listens at an address that `flag` chooses, and answers from now on.
async fn listen_at(address: SocketAddr, flag: &str, router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for administration: choose another with {flag}")
    })?;
    let address = listener
        .local_addr()
        .context("the admin listener has no address")?;
    tokio::spawn(async move {
        // It survives what fails at one connection, and ends with the process.
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(target: "headwater::admin", %error, %address, "the admin listener has ended");
        }
    });
    Ok(address)
}

fn router(guard: Guard, state: Arc<Known>) -> Router {
    let guarded = Router::new()
        .route("/", get(async || OFFERED))
        .route("/metrics", get(metrics))
        .route("/services", get(services))
        .route("/requests", get(requests))
        .route("/reload", post(reload))
        .route("/log", get(log).put(set_log))
        .fallback(async || (StatusCode::NOT_FOUND, OFFERED));
    open(guarded, guard, state)
}

fn router_of_probes(guard: Guard, state: Arc<Known>) -> Router {
    let guarded = Router::new()
        .route("/", get(async || OFFERED_TO_PROBES))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, OFFERED_TO_PROBES));
    open(guarded, guard, state)
}

/// What is guarded, and what is open to all: a word that is no secret, for probes which have no token and
/// send what `Host` they like.
fn open(guarded: Router<Arc<Known>>, guard: Guard, state: Arc<Known>) -> Router {
    guarded
        .layer(middleware::from_fn_with_state(guard, guard::refuse))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(state)
}

async fn readyz(State(known): State<Arc<Known>>) -> Response {
    match known.refusal() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(known): State<Arc<Known>>) -> Response {
    match &known.prometheus {
        Some(prometheus) => (
            [(CONTENT_TYPE, Prometheus::CONTENT_TYPE)],
            prometheus.text(),
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn services(State(known): State<Arc<Known>>) -> Response {
    match known.running() {
        Ok(running) => Json(view::services(running)).into_response(),
        Err(starting) => starting.into_response(),
    }
}

async fn requests(State(known): State<Arc<Known>>) -> Response {
    match known.running() {
        Ok(running) => Json(view::requests(running)).into_response(),
        Err(starting) => starting.into_response(),
    }
}

async fn reload(State(known): State<Arc<Known>>) -> Response {
    let running = match known.running() {
        Ok(running) => running.clone(),
        Err(starting) => return starting.into_response(),
    };
    // In a task of its own: it goes on when whoever asked for it goes away.
    let reloaded = tokio::spawn(async move { running.reload().await }).await;
    match reloaded {
        Ok(Ok(generation)) => Json(json!({ "generation": generation })).into_response(),
        Ok(Err(error)) => {
            let error = headwater_core::explain(error.as_ref());
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                Json(json!({ "error": error })),
            )
                .into_response()
        }
        Err(_interrupted) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn log(State(known): State<Arc<Known>>) -> String {
    format!("{}\n", known.log.get())
}

async fn set_log(State(known): State<Arc<Known>>, filter: String) -> Response {
    match known.log.set(filter.trim()) {
        Ok(()) => {
            tracing::info!(target: "headwater::admin", filter = filter.trim(), "the log's filter was set");
            format!("{}\n", known.log.get()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

// === impl Known ===

impl Known {
    /// Why no requests are taken, if they are not.
    fn refusal(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            Some("draining")
        } else if self.running.get().is_none() {
            Some("starting")
        } else {
            None
        }
    }

    /// What is served, or the answer that nothing is yet.
    fn running(&self) -> Result<&Arc<RunningHost>, Starting> {
        self.running.get().ok_or(Starting)
    }
}

// === impl Starting ===

impl IntoResponse for Starting {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}
