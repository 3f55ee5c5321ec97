//! Single flight: a request that arrives during a call waits for that call.

use std::cell::RefCell;

use futures::FutureExt;
use futures::future::Shared;

use crate::job::{Job, Outcome};

thread_local! {
    static FLIGHT: RefCell<Option<Shared<Job>>> = const { RefCell::new(None) };
}

/// Joins the running job, or starts this one.
pub async fn work(job: Job) -> Outcome {
    let flight = FLIGHT.with_borrow_mut(|flight| match flight {
        Some(flight) if flight.peek().is_none() => flight.clone(),
        _ => flight.insert(job.shared()).clone(),
    });
    flight.await
}
