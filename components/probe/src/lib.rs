//! Makes the outgoing request that an incoming one describes, however odd, and answers what it saw of it,
//! as JSON: what a host tells its guests of upstreams that go wrong.
//!
//! `GET /?to=URL&…`: see [`Plan`] for what may be asked, and [`Report`] for what is answered.

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
