//! A guest that cannot handle two requests at once and declares it: it holds component-model
//! backpressure while it has a request. The host must send further requests to other instances.
//!
//! `GET /?wait=20`

use guest::{ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, wait};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasip3::wit_bindgen::{backpressure_dec, backpressure_inc};
use wasip3::{random, spawn_local, wit_future, wit_stream};

/// An identifier that stays the same for the life of the instance.
static INSTANCE: LazyLock<u64> = LazyLock::new(random::random::get_random_u64);
static NOW_INSIDE: AtomicU64 = AtomicU64::new(0);
static HIGHEST: AtomicU64 = AtomicU64::new(0);
static SERVED: AtomicU64 = AtomicU64::new(0);

/// While it lives, the host starts no other request in this instance. A cancelled request drops it,
/// too.
struct Alone;

impl Alone {
    fn enter() -> Self {
        backpressure_inc();
        let inside = NOW_INSIDE.fetch_add(1, Relaxed) + 1;
        HIGHEST.fetch_max(inside, Relaxed);
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        NOW_INSIDE.fetch_sub(1, Relaxed);
        backpressure_dec();
    }
}

struct Backpressure;

impl wasip3::exports::http::handler::Guest for Backpressure {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let alone = Alone::enter();
        wait(Query::of(&request).number("wait", 20)).await;

        let body = format!(
            "{{\"instance\":\"{:016x}\",\"highest\":{},\"served\":{}}}\n",
            *INSTANCE,
            HIGHEST.load(Relaxed),
            SERVED.fetch_add(1, Relaxed) + 1,
        );
        let headers = Fields::from_list(&[
            ("content-type".into(), b"application/json".into()),
            ("content-length".into(), body.len().to_string().into()),
        ])
        .expect("these headers are valid");
        let (mut writer, reader) = wit_stream::new();
        let (_, end) = wit_future::new(WHOLE_BODY);
        let (response, _sent) = Response::new(headers, Some(reader), end);
        spawn_local(async move {
            writer.write_all(body.into()).await;
            drop(alone);
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Backpressure);
