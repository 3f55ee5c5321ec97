//! The queue in which requests leave work for each other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;

use guest::wait;

/// The number of the call that a request makes directly.
pub const DIRECT: u64 = 1000;

/// How often a request looks for another to swap work with before it does its own.
const PATIENCE: u32 = 25;

type Outcome = Result<(), String>;

/// The work of one request, and the channel for its result.
pub struct Work {
    future: Pin<Box<dyn Future<Output = Outcome>>>,
    outcome: Rc<Cell<Option<Outcome>>>,
}

thread_local! {
    static QUEUE: RefCell<VecDeque<Work>> = const { RefCell::new(VecDeque::new()) };
}

impl Work {
    pub fn new(future: impl Future<Output = Outcome> + 'static) -> Self {
        Self {
            future: Box::pin(future),
            outcome: Rc::default(),
        }
    }

    async fn run(self) {
        let outcome = self.future.await;
        self.outcome.set(Some(outcome));
    }
}

/// Leaves `work` to another request, and does in the current task the work that others left, until
/// the own work is done. Returns true if another request did it. (With no other request, it does
/// its own.)
pub async fn exchange(work: Work) -> Result<bool, String> {
    let outcome = Rc::clone(&work.outcome);
    QUEUE.with_borrow_mut(|queue| queue.push_back(work));
    let mut alone = 0;
    loop {
        if let Some(outcome) = outcome.take() {
            return outcome.map(|()| true);
        }
        if let Some(theirs) = take(|work| !Rc::ptr_eq(&work.outcome, &outcome)) {
            theirs.run().await;
            continue;
        }
        alone += 1;
        if alone > PATIENCE
            && let Some(own) = take(|work| Rc::ptr_eq(&work.outcome, &outcome))
        {
            return own.future.await.map(|()| false);
        }
        wait(2).await;
    }
}

fn take(wanted: impl Fn(&Work) -> bool) -> Option<Work> {
    QUEUE.with_borrow_mut(|queue| {
        let at = queue.iter().position(wanted)?;
        queue.remove(at)
    })
}
