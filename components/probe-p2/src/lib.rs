//! The probe for `wasi:http@0.2`: makes the outgoing request that an incoming one describes,
//! however unusual, and answers with its observations, as JSON.
//!
//! `GET /?to=URL&…`: see [`Plan`] for the request, and [`Report`] for the answer.

mod exchange;
mod request;

use probing::{Outcomes, Plan, Report};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Probe;

impl wasip2::exports::http::incoming_handler::Guest for Probe {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let asked = request.path_with_query().unwrap_or_default();
        match Plan::parse(&asked) {
            Ok(plan) => answer(out, 200, &run(&plan)),
            Err(problem) => answer(out, 400, &(problem + "\n")),
        }
    }
}

wasip2::http::proxy::export!(Probe);

/// Makes the requests of a plan.
fn run(plan: &Plan) -> String {
    if plan.count == 1 {
        return match request::prepare(plan) {
            Ok(prepared) => exchange::run(plan, prepared).to_json(),
            Err(failure) => Report::failed(failure).to_json(),
        };
    }
    // All are sent before the first is awaited.
    let started: Vec<_> = (0..plan.count)
        .map(|_| request::prepare(plan).and_then(exchange::start))
        .collect();
    let mut outcomes = Outcomes::default();
    for started in started {
        outcomes.count(&match started {
            Ok(response) => exchange::read(plan, &response),
            Err(failure) => Report::failed(failure),
        });
    }
    outcomes.to_json()
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::from_list(&[
        ("content-type".to_owned(), b"text/plain".to_vec()),
        (
            "content-length".to_owned(),
            text.len().to_string().into_bytes(),
        ),
    ])
    .expect("these headers are valid");
    let response = OutgoingResponse::new(headers);
    response
        .set_status_code(status)
        .expect("the status code is valid");
    let body = response.body().expect("nobody else has taken it");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("nobody else has taken it");
    for chunk in text.as_bytes().chunks(4096) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            // The client has left.
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
