//! The server's part of a request, and its route.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use headwater_core::{Body, empty};
use headwater_server::{ClientAddress, Front, FrontParams, HttpService, Route, Router};
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use tower_service::Service;

use super::{async_rounds, rounds, telemetry};
use crate::egress::{Answer, read};
use crate::{hello, one_thread};

/// As many services as a large host has, with four routes each.
const SERVICES: usize = 250;

/// The look-up of a route among a thousand of one host.
pub(super) fn route_by_path(operations: u32) -> Result<()> {
    routes(operations, false)
}

/// The look-up of a route among a thousand of fifty hosts.
pub(super) fn route_by_host(operations: u32) -> Result<()> {
    routes(operations, true)
}

fn routes(operations: u32, with_hosts: bool) -> Result<()> {
    let mut routes = vec![Route::new("/...", "rest", Arc::new(Answer))];
    let mut uris: Vec<Uri> = Vec::new();
    for number in 0..SERVICES {
        let shop = format!("/shop-{number}");
        let host = match with_hosts {
            true => format!("tenant-{}.example.com", number % 50),
            false => "www.example.com".to_owned(),
        };
        for (pattern, path) in [
            ("/cart", "/cart"),
            ("/files/...", "/files/css/site.css?v=7"),
            ("/users/{id}", "/users/8fd1b2a0"),
            ("/users/{id}/orders/...", "/users/8fd1b2a0/orders/17/lines"),
        ] {
            let mut route = Route::new(format!("{shop}{pattern}"), "shop", Arc::new(Answer));
            if with_hosts {
                route.hosts.push(host.parse()?);
            }
            routes.push(route);
            uris.push(format!("http://{host}{shop}{path}").parse()?);
        }
        uris.push(format!("http://{host}/elsewhere/{number}").parse()?);
    }
    let router = Router::new(routes)?;
    rounds(operations, |nth| {
        black_box(router.find(black_box(&uris[nth % uris.len()])));
        Ok(())
    })
}

/// A request's id and scope, from its start to its end.
pub(super) fn scope(operations: u32) -> Result<()> {
    rounds(operations, |_| {
        black_box(hello::scope()).end();
        Ok(())
    })
}

/// A request from its parsed head to the last byte of its response, for a handler that answers at once: parse,
/// route, admission, scope, response head, end. The codec is hyper's.
pub(super) fn request(operations: u32) -> Result<()> {
    requests(operations, FrontParams::default())
}

/// The same with metrics for Prometheus, traces of which this request is not sampled, and the access log.
pub(super) fn request_observed(operations: u32) -> Result<()> {
    let observed = telemetry::unsampled(true)?;
    requests(
        operations,
        FrontParams {
            metrics: observed.metrics().clone(),
            access: telemetry::access_log()?,
            ..FrontParams::default()
        },
    )
}

fn requests(operations: u32, params: FrontParams) -> Result<()> {
    one_thread()?.block_on(async {
        let router = Router::new([Route::new("/shop/...", "shop", Arc::new(Answer))])?;
        let mut service = HttpService::new(Front::new(params, router));
        let headers = headers();
        async_rounds(operations, async || {
            let response = service.call(arriving(&headers)?).await?;
            read(response).await
        })
        .await
    })
}

/// The client of all requests.
pub(super) const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 50_000);

/// The header of a browser's request that comes through a proxy, which does not sample it.
pub(super) fn headers() -> HeaderMap {
    let fields = [
        (header::HOST, "www.example.com"),
        (
            header::USER_AGENT,
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            header::ACCEPT,
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        (header::ACCEPT_LANGUAGE, "en-GB,en;q=0.7,de;q=0.3"),
        (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
        (header::COOKIE, "session=8fd1b2a0c3d4e5f6; theme=dark"),
        (
            header::HeaderName::from_static("traceparent"),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ),
    ];
    fields
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .into_iter()
        .collect()
}

/// The URI of all requests.
pub(super) const REQUESTED: &str = "http://www.example.com/shop/orders?open=true";

fn arriving(headers: &HeaderMap) -> Result<Request<Body>> {
    let mut request = Request::get(REQUESTED)
        .extension(ClientAddress(CLIENT))
        .body(empty())?;
    request.headers_mut().clone_from(headers);
    Ok(request)
}
