//! The admin listener: for the one who operates the host, apart from where clients come.
//!
//! Nobody is asked who they are there. It is on this machine only unless another address is given,
//! and it refuses what a browser sends on behalf of a page: see [`guard`].

mod guard;
mod view;

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

use crate::live::Live;

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

/// The admin listener. Cheap to clone; it goes on until the process ends.
#[derive(Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    state: Arc<Known>,
}

/// What it answers from.
struct Known {
    /// None until all is loaded.
    live: OnceLock<Arc<Live>>,
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
    /// When the system refuses the address.
    pub(crate) async fn bind(address: SocketAddr, telemetry: &Telemetry) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for administration: choose another with --admin")
        })?;
        let address = listener
            .local_addr()
            .context("the admin listener has no address")?;
        let state = Arc::new(Known {
            live: OnceLock::new(),
            draining: AtomicBool::new(false),
            prometheus: telemetry.prometheus().cloned(),
            log: telemetry.log_level().clone(),
        });
        let router = router(state.clone());
        tokio::spawn(async move {
            // It survives what fails at one connection, and ends with the process.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(target: "headwater::admin", %error, "the admin listener has ended");
            }
        });
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests are taken from now on.
    pub(crate) fn ready(&self, live: &Arc<Live>) {
        // Called once.
        let _ = self.state.live.set(live.clone());
    }

    /// No requests are taken any more.
    pub(crate) fn draining(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }
}

fn router(state: Arc<Known>) -> Router {
    Router::new()
        .route("/", get(async || OFFERED))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/services", get(services))
        .route("/requests", get(requests))
        .route("/reload", post(reload))
        .route("/log", get(log).put(set_log))
        .fallback(async || (StatusCode::NOT_FOUND, OFFERED))
        .layer(middleware::from_fn(guard::refuse_pages))
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
    match known.live() {
        Ok(live) => Json(view::services(live)).into_response(),
        Err(starting) => starting.into_response(),
    }
}

async fn requests(State(known): State<Arc<Known>>) -> Response {
    match known.live() {
        Ok(live) => Json(view::requests(live)).into_response(),
        Err(starting) => starting.into_response(),
    }
}

async fn reload(State(known): State<Arc<Known>>) -> Response {
    let live = match known.live() {
        Ok(live) => live.clone(),
        Err(starting) => return starting.into_response(),
    };
    // In a task of its own: it goes on when whoever asked for it goes away.
    let reloaded = tokio::spawn(async move { live.reload().await }).await;
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
        } else if self.live.get().is_none() {
            Some("starting")
        } else {
            None
        }
    }

    /// What is served, or the answer that nothing is yet.
    fn live(&self) -> Result<&Arc<Live>, Starting> {
        self.live.get().ok_or(Starting)
    }
}

// === impl Starting ===

impl IntoResponse for Starting {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}
