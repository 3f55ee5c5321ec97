//! A worker that polls a queue by a timer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;

use guest::wait;
use wasip3::spawn_local;

use crate::job::{Job, Outcome, told};

/// How often the worker finds nothing before it ends.
const PATIENCE: u32 = 5;

thread_local! {
    static QUEUE: RefCell<VecDeque<Pin<Box<dyn Future<Output = ()>>>>> =
        const { RefCell::new(VecDeque::new()) };
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Leaves the job to the worker, and waits for it.
pub async fn work(job: Job) -> Outcome {
    let (work, told) = told(job);
    QUEUE.with_borrow_mut(|queue| queue.push_back(Box::pin(work)));
    if !RUNNING.replace(true) {
        spawn_local(async {
            let mut nothing = 0;
            while nothing < PATIENCE {
                match QUEUE.with_borrow_mut(VecDeque::pop_front) {
                    Some(work) => {
                        work.await;
                        nothing = 0;
                    }
                    None => {
                        nothing += 1;
                        wait(2).await;
                    }
                }
            }
            RUNNING.set(false);
        });
    }
    told.await.map_err(|_| "the worker has gone")?
}
