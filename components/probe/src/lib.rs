//! Makes the outgoing request that an incoming one describes, however unusual, and answers with its
//! observations, as JSON: this shows how a host reports faulty upstreams to its guests.
//!
//! `GET /?to=URL&…`: see [`Plan`] for the request, and [`Report`] for the answer.

mod exchange;
mod request;

use futures::future::join_all;
use guest::{ErrorCode, Request, Response, text};
use probing::{Outcomes, Plan, Report};

struct Probe;

impl wasip3::exports::http::handler::Guest for Probe {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = request.get_path_with_query().unwrap_or_default();
        let plan = match Plan::parse(&asked) {
            Ok(plan) => plan,
            Err(problem) => return Ok(text(400, problem + "\n")),
        };
        if plan.count == 1 {
            return Ok(text(200, make(&plan).await.to_json()));
        }
        let reports = join_all((0..plan.count).map(|_| make(&plan))).await;
        let mut outcomes = Outcomes::default();
        for report in &reports {
            outcomes.count(report);
        }
        Ok(text(200, outcomes.to_json()))
    }
}

wasip3::http::service::export!(Probe);

/// Makes the request of a plan.
async fn make(plan: &Plan) -> Report {
    match request::prepare(plan) {
        Ok(prepared) => exchange::run(plan, prepared).await,
        Err(failure) => Report::failed(failure),
    }
}
