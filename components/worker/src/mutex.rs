//! An asynchronous mutex, held across a call. No request works for another; but each that releases
//! the lock wakes the next, as if it gave it a job.

use std::rc::Rc;

use futures::lock::Mutex;

use crate::job::{Job, Outcome};

thread_local! {
    static LOCK: Rc<Mutex<()>> = Rc::default();
}

/// Does the job while it holds the lock.
pub async fn work(job: Job) -> Outcome {
    let lock = LOCK.with(Rc::clone);
    let _alone = lock.lock().await;
    job.await
}
