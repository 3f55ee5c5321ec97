//! Puts middlewares of the program, which are `tower` layers, in front of a guest:
//! `cargo run --example native_middleware -- GUEST.wasm`.

#![allow(clippy::print_stdout, reason = "it prints its address")]

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater::{Body, BodyError, Host, NextService, Service};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use tower::util::MapResponseLayer;
use tower_layer::layer_fn;

/// Lets requests with the token pass.
#[derive(Clone)]
struct Auth<S> {
    token: &'static str,
    inner: S,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BodyError>> + Send>>;

impl<S> tower_service::Service<Request<Body>> for Auth<S>
where
    S: tower_service::Service<
            Request<Body>,
            Response = Response<Body>,
            Error = BodyError,
            Future = Answer,
        >,
{
    type Response = Response<Body>;
    type Error = BodyError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if request
            .headers()
            .get(AUTHORIZATION)
            .is_some_and(|value| value == self.token)
        {
            return self.inner.call(request);
        }
        Box::pin(async {
            let mut response = Response::new(headwater::full("who are you?\n"));
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            Ok(response)
        })
    }
}

/// Says that a response passed it.
fn mark(mut response: Response<Body>) -> Response<Body> {
    let mark = HeaderValue::from_static("mark");
    response.headers_mut().insert("x-passed", mark);
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args_os()
        .nth(1)
        .ok_or("name a guest: native_middleware GUEST.wasm")?;
    let auth = |inner: NextService| Auth {
        token: "Bearer example",
        inner,
    };
    let host = Host::builder()
        .middleware("auth", layer_fn(auth))
        .middleware("mark", MapResponseLayer::new(mark))
        // The first is the outermost.
        .service(
            Service::file("guest", guest)?
                .middleware("mark")
                .middleware("auth"),
        )
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    for address in host.addresses() {
        println!("Listening on {address}");
    }
    let shutdown = CancellationToken::new();
    let ctrl_c = shutdown.clone();
    tokio::spawn(async move {
        // After an error there is no such signal, and only killing the process ends it.
        if tokio::signal::ctrl_c().await.is_ok() {
            ctrl_c.cancel();
        }
    });
    host.run(shutdown).await;
    Ok(())
}
