//! The work of one request: its outgoing calls.

use std::pin::Pin;

use futures::channel::oneshot;
use guest::{Call, Query, Request, wait};
use headwater_attribution::{Scope, named};

pub type Outcome = Result<(), String>;

/// Work that may be polled in any task.
pub type Job = Pin<Box<dyn Future<Output = Outcome>>>;

/// The jobs of one request.
pub struct Plan {
    call: Call,
    jobs: u64,
    wait: u64,
    scope: Option<Scope>,
}

impl Plan {
    /// Creates the plan. This takes the token, so it must be called at the beginning of the
    /// handler.
    pub fn of(query: &Query, request: &Request) -> Result<Self, String> {
        let call = Call::to(query, request)?;
        let scope = match query.get("witness").unwrap_or("none") {
            "none" => None,
            "token" => Some(Scope::current().ok_or("no token")?),
            "echo-id" => Some(Scope::by_id(request).ok_or("no x-request-id")?),
            other => return Err(format!("there is no witness {other}")),
        };
        Ok(Self {
            call,
            jobs: query.number("k", 1),
            wait: query.number("wait", 0),
            scope,
        })
    }

    pub fn jobs(&self) -> impl Iterator<Item = Job> {
        (0..self.jobs).map(|i| {
            let (call, delay) = (self.call.clone(), self.wait);
            let job = async move {
                if delay > 0 {
                    wait(delay).await;
                }
                call.make_with(named, i).await
            };
            // The remedy in one line.
            Box::pin(Scope::wrap(self.scope.clone(), job)) as Job
        })
    }
}

/// Returns a job for another task, and the receiver of its outcome.
pub fn told(job: Job) -> (impl Future<Output = ()>, oneshot::Receiver<Outcome>) {
    let (tell, told) = oneshot::channel();
    let job = async {
        // The requester may have gone.
        let _ = tell.send(job.await);
    };
    (job, told)
}
