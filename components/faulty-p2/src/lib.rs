//! A `wasi:http/proxy@0.2` component that traps at the end of its response, or after it, or opens
//! files.
//!
//! `GET /trap-at-end`: a whole answer, followed immediately by a trap; `/trap-after`: 100 ms later.
//! With `?length`, the head has `content-length: 5`. `GET …/open/NAME?N`, `…/touch/NAME`: see
//! [`files`].

mod files;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const NANOS_PER_MS: u64 = 1_000_000;

struct Faulty;

wasip2::http::proxy::export!(Faulty);

impl Guest for Faulty {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let headers = Fields::new();
        if path.ends_with("?length") {
            headers
                .append("content-length", b"5")
                .expect("the header is valid");
        }
        let told = files::answer(&path);
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("it was not taken before");
        ResponseOutparam::set(answer, Ok(response));
        let stream = body.write().expect("it was not taken before");
        stream
            .blocking_write_and_flush(told.as_deref().unwrap_or("first").as_bytes())
            .expect("the client reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is whole");
        if told.is_some() {
            return;
        }
        if path.starts_with("/trap-after") {
            // By then the host has sent the end.
            subscribe_duration(100 * NANOS_PER_MS).block();
        }
        panic!("deliberate panic at the end of a response");
    }
}
