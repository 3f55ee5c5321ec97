//! The requests that live in one instance.
//!
//! A request lives in an instance from its start until its answer is over *and* its root task has ended:
//! exactly as long as wasmtime's later task groups would live. Its answer is over when the last byte was
//! sent or the request was dropped; its root task ends when the handler and everything that it spawned
//! are done. Work of *another* request's task for it after that does not keep it alive.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use headwater_core::RequestScope;
use rustc_hash::FxBuildHasher;

/// The number of recorded requests after which an instance first checks which are over.
const MANY: usize = 64;

/// The maximum number of other requests that a doubt names: as many as an instance has at once.
pub(super) const MOST_NAMED: usize = 16;

/// The requests of one instance, by the root task that each was started as.
#[derive(Debug)]
pub(crate) struct Requests<Task> {
    /// Entries of ended tasks stay until the next root has the same number, or until there are many: if
    /// numbers are kept out of use, the number may never return.
    by_task: HashMap<Task, Arc<RequestScope>, FxBuildHasher>,
    /// The number of entries after which the next check for ended requests is due.
    many: usize,
    /// Requests whose root task has ended and whose number was reused while their answer is still being
    /// sent.
    answering: Vec<Arc<RequestScope>>,
}

/// A request that may live.
#[derive(Debug)]
pub(crate) enum Found<Task> {
    Lives(Arc<RequestScope>),
    /// Its answer is over: it lives if this task, its root, has not ended.
    LivesIfRunning(Arc<RequestScope>, Task),
}

impl<Task> Default for Requests<Task> {
    fn default() -> Self {
        Self {
            by_task: HashMap::default(),
            many: MANY,
            answering: Vec::new(),
        }
    }
}

impl<Task: Copy + Eq + Hash> Requests<Task> {
    /// Records `task` as the root task of a request.
    pub(crate) fn start(&mut self, task: Task, scope: Arc<RequestScope>) {
        if !self.answering.is_empty() {
            self.answering.retain(is_answering);
        }
        if let Some(ended) = self.by_task.insert(task, scope)
            && is_answering(&ended)
        {
            self.answering.push(ended);
        }
    }

    /// Returns true if there are so many that ended ones should be [forgotten](Self::forget).
    pub(crate) fn are_many(&self) -> bool {
        self.by_task.len() >= self.many
    }

    /// Forgets the requests that no longer live. The next check is due at twice the number that is left,
    /// so that each request pays for a few others at most.
    pub(crate) fn forget(&mut self, mut is_running: impl FnMut(Task) -> bool) {
        self.by_task
            .retain(|task, scope| is_answering(scope) || is_running(*task));
        self.many = MANY.max(2 * self.by_task.len());
    }

    /// Returns the request whose root task is `task`, which must be running.
    pub(crate) fn of_task(&self, task: &Task) -> Option<&Arc<RequestScope>> {
        self.by_task.get(task)
    }

    /// Returns the others that are being answered, [`MOST_NAMED`] at most, if `own` is over and there
    /// are any.
    pub(crate) fn outlived(&self, own: &RequestScope) -> Option<Vec<Arc<RequestScope>>> {
        if !own.is_over() {
            return None;
        }
        let all = self.by_task.values().chain(&self.answering);
        let others = all.filter(|scope| is_answering(scope));
        let others: Vec<_> = others.take(MOST_NAMED).cloned().collect();
        (!others.is_empty()).then_some(others)
    }

    /// Returns the request that matches `is_it`, if it lives.
    ///
    /// A linear search: there are only as many as one instance has at once, and only guests that declare
    /// or echo cause it.
    pub(crate) fn find(&self, is_it: impl Fn(&RequestScope) -> bool) -> Option<Found<Task>> {
        let started = self.by_task.iter().find(|(_, scope)| is_it(scope));
        if let Some((task, scope)) = started {
            return Some(if is_answering(scope) {
                Found::Lives(scope.clone())
            } else {
                Found::LivesIfRunning(scope.clone(), *task)
            });
        }
        let mut answering = self.answering.iter();
        let found = answering.find(|scope| is_it(scope) && is_answering(scope));
        found.map(|scope| Found::Lives(scope.clone()))
    }
}

fn is_answering(scope: &Arc<RequestScope>) -> bool {
    !scope.is_over()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;

    fn lives(requests: &Requests<u32>, scope: &Arc<RequestScope>, running: &[u32]) -> bool {
        match requests.find(|other| other.id() == scope.id()) {
            Some(Found::Lives(found)) => Arc::ptr_eq(&found, scope),
            Some(Found::LivesIfRunning(found, task)) => {
                Arc::ptr_eq(&found, scope) && running.contains(&task)
            }
            None => false,
        }
    }

    #[test]
    fn a_request_lives_until_its_answer_is_over_and_its_task_has_ended() {
        let mut requests = Requests::default();
        let request = scope();
        requests.start(1, request.clone());
        assert!(lives(&requests, &request, &[1]));
        assert!(lives(&requests, &request, &[]), "it is being answered");
        request.end();
        assert!(lives(&requests, &request, &[1]), "its task runs on");
        assert!(!lives(&requests, &request, &[]));
    }

    #[test]
    fn a_request_whose_task_number_is_another_s_lives_as_long_as_its_answer() {
        let mut requests = Requests::default();
        let (ended, next) = (scope(), scope());
        requests.start(1, ended.clone());
        requests.start(1, next.clone());
        assert!(lives(&requests, &ended, &[1]));
        ended.end();
        assert!(
            !lives(&requests, &ended, &[1]),
            "that is the next one's task"
        );
        assert!(lives(&requests, &next, &[1]));
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_requests_that_were_served() {
        let mut requests = Requests::default();
        let mut previous = scope();
        for _ in 0..1_000 {
            let request = scope();
            requests.start(1, request.clone());
            previous.end();
            previous = request;
        }
        assert_eq!(requests.by_task.len(), 1);
        assert!(requests.answering.len() <= 1, "{:?}", requests.answering);
    }

    #[test]
    fn nor_where_no_number_is_used_again_and_those_that_live_are_kept() {
        let mut requests = Requests::default();
        let (answering, running) = (scope(), scope());
        running.end();
        requests.start(0, answering.clone());
        requests.start(1, running.clone());
        for task in 2..10_000 {
            let request = scope();
            request.end();
            requests.start(task, request);
            if requests.are_many() {
                requests.forget(|task| task == 1);
            }
            assert!(requests.by_task.len() <= MANY);
        }
        assert!(lives(&requests, &answering, &[1]));
        assert!(lives(&requests, &running, &[1]));
    }

    #[test]
    fn a_request_is_outlived_by_its_task_while_others_are_being_answered() {
        let mut requests = Requests::default();
        let (own, over, other) = (scope(), scope(), scope());
        requests.start(1, own.clone());
        requests.start(2, over.clone());
        over.end();
        requests.start(3, other.clone());
        assert!(requests.outlived(&own).is_none(), "it is being answered");
        own.end();
        let others = requests.outlived(&own).unwrap();
        assert!(others.len() == 1 && Arc::ptr_eq(&others[0], &other));
        other.end();
        assert!(requests.outlived(&own).is_none(), "nobody else is there");
    }

    #[test]
    fn a_request_that_was_never_started_here_is_not_found() {
        let mut requests = Requests::default();
        requests.start(1, scope());
        assert!(!lives(&requests, &scope(), &[1]));
    }
}
