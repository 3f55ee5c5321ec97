use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use headwater_telemetry::{LogLevel, Prometheus, Telemetry};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::environment::{self, NotFound};
use super::guard::{self, Guard};
use super::{AdminParams, view};
use crate::reload::RunningHost;

/// The endpoints of the admin listener, as the answer to `/`.
const OFFERED: &str = "\
GET  /healthz   the process is alive
GET  /readyz    the host takes requests; 503 while it starts or drains
GET  /metrics   metrics, for Prometheus
GET  /services  the services, with their instances
GET  /services/NAME/environment
                what a guest is given; of a WAGI module ?request=ID, too
GET  /requests  the requests in flight, the oldest first
POST /reload    reload; answers when it is done
GET  /log       the log filter
PUT  /log       set the log filter
";

const OFFERED_TO_PROBES: &str = "\
GET  /healthz   the process is alive
GET  /readyz    the host takes requests; 503 while it starts or drains
GET  /metrics   metrics, for Prometheus
";

/// The admin listener and the listener for probes. Cheap to clone; they run until the process ends.
#[derive(Clone)]
pub(crate) struct Admin {
    address: Option<SocketAddr>,
    probes: Option<SocketAddr>,
    state: Arc<Known>,
}

struct Known {
    /// Empty until everything is loaded.
    running: OnceLock<Arc<RunningHost>>,
    draining: AtomicBool,
    prometheus: Option<Prometheus>,
    log: LogLevel,
}

/// The answer while nothing is loaded yet.
struct Starting;

// === impl Admin ===

impl Admin {
    /// Binds the addresses and starts to answer.
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

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(crate) fn probes(&self) -> Option<SocketAddr> {
        self.probes
    }

    pub(crate) fn ready(&self, running: &Arc<RunningHost>) {
        // This is called once only.
        let _ = self.state.running.set(running.clone());
    }

    pub(crate) fn draining(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }
}

/// Binds an address that `flag` sets, and starts to answer.
async fn listen_at(address: SocketAddr, flag: &str, router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for administration: choose another address with {flag}")
    })?;
    let address = listener
        .local_addr()
        .context("the admin listener has no address")?;
    tokio::spawn(async move {
        // `serve` survives errors of single connections, and ends with the process.
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
        .route("/services/{name}/environment", get(environment))
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

/// Adds the guard to these routes, and the routes without it. Those answer a word that is no
/// secret, for probes, which have no token and may send any `Host`.
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

async fn services(State(known): State<Arc<Known>>) -> Result<Json<Value>, Starting> {
    Ok(Json(view::services(known.running()?)))
}

async fn environment(
    State(known): State<Arc<Known>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Starting> {
    let request = match query.as_deref().filter(|query| !query.is_empty()) {
        None => None,
        Some(query) => match query.strip_prefix("request=") {
            Some(id) => Some(id),
            None => {
                let why = "the only parameter is `request`, with the id of a request\n";
                return Ok((StatusCode::BAD_REQUEST, why).into_response());
            }
        },
    };
    let found = environment::of(known.running()?, &name, request);
    Ok(match found {
        Ok(found) => Json(found).into_response(),
        Err(NotFound(why)) => (StatusCode::NOT_FOUND, format!("{why}\n")).into_response(),
    })
}

async fn requests(State(known): State<Arc<Known>>) -> Result<Json<Value>, Starting> {
    Ok(Json(view::requests(known.running()?)))
}

async fn reload(State(known): State<Arc<Known>>) -> Result<Response, Starting> {
    let running = known.running()?.clone();
    // A task of its own goes on when the client disconnects.
    let reloaded = tokio::spawn(async move { running.reload().await }).await;
    Ok(match reloaded {
        Ok(Ok(generation)) => Json(json!({ "generation": generation })).into_response(),
        Ok(Err(error)) => {
            let error = Json(json!({ "error": headwater_core::explain(error.as_ref()) }));
            (StatusCode::UNPROCESSABLE_ENTITY, error).into_response()
        }
        Err(_interrupted) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    })
}

async fn log(State(known): State<Arc<Known>>) -> String {
    format!("{}\n", known.log.get())
}

async fn set_log(State(known): State<Arc<Known>>, filter: String) -> Response {
    match known.log.set(filter.trim()) {
        Ok(()) => {
            tracing::info!(target: "headwater::admin", filter = filter.trim(), "the log filter was changed");
            format!("{}\n", known.log.get()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

// === impl Known ===

impl Known {
    /// Returns the reason why requests are not taken, if they are not.
    fn refusal(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            Some("draining")
        } else if self.running.get().is_none() {
            Some("starting")
        } else {
            None
        }
    }

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
