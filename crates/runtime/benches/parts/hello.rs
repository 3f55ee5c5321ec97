//! The measured guests, and requests to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use headwater_core::{Handler, Limits, RequestId, RequestScope, ScopeParts, SpanContext, empty};
use headwater_egress::{self as egress, Egress, EgressParams};
use headwater_runtime::capability::{Grant, Grants};
use headwater_runtime::{
    ActionSettings, Capabilities, ComponentService, ComponentSettings, Engine, ForbiddenHeaders,
    OutgoingHttp, PoolOverrides, Role,
};
use headwater_telemetry::Metrics;
use http::{Request, Uri};
use http_body_util::BodyExt;

pub(crate) fn binary() -> Result<Vec<u8>> {
    built("hello")
}

/// Returns `hello` composed with a middleware into one component.
pub(crate) fn composed() -> Result<Vec<u8>> {
    built("mw-hello")
}

/// Returns the path of a built guest.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let guests = std::env::var_os("HEADWATER_COMPONENTS")
        .context("HEADWATER_COMPONENTS is not set; run this by `cargo xtask bench`")?;
    Ok(Path::new(&guests).join(format!("{name}.wasm")))
}

fn built(name: &str) -> Result<Vec<u8>> {
    let path = path(name)?;
    std::fs::read(&path).with_context(|| {
        format!(
            "cannot read {}; run `cargo xtask components`",
            path.display()
        )
    })
}

pub(crate) fn pool(
    engine: &Engine,
    binary: &[u8],
    pool: PoolOverrides,
) -> Result<Arc<dyn Handler>> {
    load(engine, binary, pool, Capabilities::default().nothing())
}

/// Returns the pool of a guest that makes one outgoing request for each request to [`one_call`].
pub(crate) fn fanout(engine: &Engine, upstream: SocketAddr) -> Result<Arc<dyn Handler>> {
    let egress = Egress::new(EgressParams {
        grants: egress::Grants::parse([format!("http://{upstream}")])?,
        ..EgressParams::new("bench")
    });
    let mut grants = Capabilities::default().nothing();
    grants.set(Grant::new(OutgoingHttp, egress.into()));
    load(engine, &built("fanout")?, PoolOverrides::default(), grants)
}

/// Returns the URI of a request to [`fanout`].
pub(crate) fn one_call(upstream: SocketAddr) -> Result<Uri> {
    let uri = format!("http://localhost/?to=http://{upstream}&k=1&wait=0");
    Ok(uri.parse()?)
}

fn load(
    engine: &Engine,
    binary: &[u8],
    pool: PoolOverrides,
    grants: Grants,
) -> Result<Arc<dyn Handler>> {
    Ok(Arc::new(ComponentService::load(
        engine,
        binary,
        ComponentSettings {
            service: "bench".into(),
            environment: Vec::new(),
            directories: Vec::new(),
            limits: Limits::default(),
            forbidden_headers: ForbiddenHeaders::default(),
            pool,
            grants,
            metrics: Metrics::default(),
            role: Role::Service,
            action: ActionSettings::default(),
        },
    )?))
}

/// Sends requests one after another.
pub(crate) async fn requests(handler: Arc<dyn Handler>, number: usize) -> Result<()> {
    requests_to(handler, &Uri::from_static("http://localhost/"), number).await
}

async fn requests_to(handler: Arc<dyn Handler>, uri: &Uri, number: usize) -> Result<()> {
    for _ in 0..number {
        let request = Request::get(uri.clone()).body(empty())?;
        let scope = scope();
        let response = handler.handle(request, scope.clone()).await?;
        ensure!(response.status() == 200, "{}", response.status());
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| anyhow!(error))?;
        ensure!(!body.to_bytes().is_empty());
        // As the server does when the last byte is sent: it releases the data kept for the request.
        scope.end();
    }
    Ok(())
}

/// Runs concurrent clients, each a task that sends `each` requests.
pub(crate) async fn clients(handler: &Arc<dyn Handler>, clients: usize, each: usize) -> Result<()> {
    clients_of(
        handler,
        &Uri::from_static("http://localhost/"),
        clients,
        each,
    )
    .await
}

/// As [`clients`], with requests for this URI.
pub(crate) async fn clients_of(
    handler: &Arc<dyn Handler>,
    uri: &Uri,
    clients: usize,
    each: usize,
) -> Result<()> {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (handler, uri) = (handler.clone(), uri.clone());
            tokio::spawn(async move { requests_to(handler, &uri, each).await })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(())
}

/// Returns the scope of a request without a deadline.
pub(crate) fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "bench".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}
