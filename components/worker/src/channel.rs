//! Workers that get jobs from a channel: one job at a time, or a pool.

use std::cell::RefCell;
use std::pin::Pin;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use wasip3::spawn_local;

use crate::job::{Job, Outcome, told};

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Channel {
    jobs: UnboundedSender<Work>,
    /// The receiver, while no worker has it.
    idle: Option<UnboundedReceiver<Work>>,
}

thread_local! {
    /// One channel for workers, one for pools.
    static CHANNELS: [RefCell<Channel>; 2] = [channel(), channel()];
}

fn channel() -> RefCell<Channel> {
    let (jobs, idle) = unbounded();
    let idle = Some(idle);
    RefCell::new(Channel { jobs, idle })
}

fn with<R>(pool: bool, action: impl FnOnce(&mut Channel) -> R) -> R {
    CHANNELS.with(|channels| action(&mut channels[usize::from(pool)].borrow_mut()))
}

/// Sends the job to the worker, and waits for it.
pub async fn work(job: Job, pool: bool, ends: u64) -> Outcome {
    let (work, told) = told(job);
    with(pool, |channel| channel.jobs.unbounded_send(Box::pin(work)))
        .map_err(|_| "the channel has no end")?;
    see_to_a_worker(pool, ends);
    let outcome = told.await;
    // The worker may have ended after this job and left others.
    see_to_a_worker(pool, ends);
    outcome.map_err(|_| "the worker has gone")?
}

/// Spawns a worker in this request's task, if there is none.
fn see_to_a_worker(pool: bool, ends: u64) {
    let Some(mut jobs) = with(pool, |channel| channel.idle.take()) else {
        return;
    };
    let most = match ends {
        0 => usize::MAX,
        ends => usize::try_from(ends).unwrap_or(usize::MAX),
    };
    spawn_local(async move {
        let some = jobs.by_ref().take(most);
        match pool {
            false => some.for_each(|work| work).await,
            true => some.for_each_concurrent(None, |work| work).await,
        }
        with(pool, |channel| channel.idle = Some(jobs));
    });
}
