//! Whom a guest's call is attributed to.
//!
//! This module is the only one that touches wasmtime's async call stack. Its shape is that of the
//! task groups which later wasmtime lines have instead of the stack: a root starts with a scope,
//! and the current scope can be asked for.
//!
//! # What the stack is worth on wasmtime 48
//!
//! `StoreContextMut::async_call_stack` yields the calling tasks, youngest first; the last one is the
//! root, whose id `start_call_concurrent` told us. The walk holds synchronously inside an import
//! call only, so the answer is taken there and carried along.
//!
//! Task ids are table indices that are used again, and a parent may be gone while its subtask lives
//! (wasmtime issue 14247). In a component that is not composed every task is a root and lives for
//! as long as its threads do, so the walk is exact. In a composed one it may silently lead to
//! another request, or never end: there the [`ledger`] says what the walk is worth.

pub(crate) mod ledger;

use std::collections::HashMap;
use std::sync::Arc;

use headwater_core::{Attribution, RequestScope, Witness};
use wasmtime::component::GuestTaskId;
use wasmtime::{AsContextMut, Store, StoreContextMut};

use self::ledger::{Health, Ledger, Listen, StackEvidence};
use crate::state::State;

/// The longest walk. A walk can be endless (a cycle of reused slots); one that gets this far is no
/// evidence.
const MAX_DEPTH: usize = 64;

/// Which evidence an instance can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The call stack, which is sound here: one component, many requests at once.
    Stack,
    /// The instance has one request at a time, and none of a request's work outlives its call
    /// (0.2), or it only ever has one request.
    Sole,
    /// The call stack with a ledger of tasks, without which it is not sound: a composed component.
    Ledger(Listen),
}

/// The requests of one instance, by the root task that each was started as.
pub(crate) struct Roots {
    evidence: Evidence,
    /// Entries of ended tasks stay until their slot is used by the next root, so the map is as
    /// large as the most requests that were ever in the instance at once.
    by_task: HashMap<GuestTaskId, Arc<RequestScope>>,
    /// The one request, where there is one at a time.
    sole: Option<Arc<RequestScope>>,
    /// What is known of tasks, where the stack alone says too little.
    ledger: Option<Box<Ledger>>,
}

impl Roots {
    pub(crate) fn new(evidence: Evidence) -> Self {
        Self {
            evidence,
            by_task: HashMap::new(),
            sole: None,
            ledger: match evidence {
                Evidence::Ledger(_) => Some(Ledger::new()),
                Evidence::Stack | Evidence::Sole => None,
            },
        }
    }

    /// Notes that `task` is the root task of a request. To be called before the guest runs.
    pub(crate) fn start(&mut self, task: GuestTaskId, scope: Arc<RequestScope>) {
        match self.evidence {
            Evidence::Stack => {
                self.by_task.insert(task, scope);
            }
            Evidence::Sole => self.sole = Some(scope),
            // See `started`.
            Evidence::Ledger(_) => {}
        }
    }

    /// The verdict on a call that was reached by this walk.
    fn judge(&self, walk: &Walk) -> Attribution {
        match self.evidence {
            Evidence::Sole => match &self.sole {
                Some(scope) => Attribution::exact(scope.clone(), Witness::Sole),
                // The instance is being set up: no request has reached it yet.
                None => Attribution::unknown(),
            },
            Evidence::Stack | Evidence::Ledger(_) => match walk {
                Walk::Ledger(StackEvidence::Sound(scope)) => {
                    Attribution::exact(scope.clone(), Witness::Stack)
                }
                Walk::Ledger(StackEvidence::Unsound) => Attribution::ambiguous(Witness::Stack),
                Walk::Ledger(StackEvidence::None) => Attribution::unknown(),
                Walk::Endless => Attribution::ambiguous(Witness::Stack),
                Walk::Root(root) => match self.by_task.get(root) {
                    Some(scope) => Attribution::exact(scope.clone(), Witness::Stack),
                    None => Attribution::unknown(),
                },
                Walk::Nowhere => Attribution::unknown(),
            },
        }
    }
}

/// Where the walk from the calling task led.
enum Walk {
    /// To this task, which has no caller.
    Root(GuestTaskId),
    /// Nowhere within [`MAX_DEPTH`] steps.
    Endless,
    /// There is no calling task: the guest is being instantiated, or runs outside any call.
    Nowhere,
    /// To what the ledger knows of the tasks on it.
    Ledger(StackEvidence),
}

impl Walk {
    fn from(mut store: StoreContextMut<'_, State>) -> Self {
        let Ok(stack) = store.async_call_stack() else {
            return Self::Nowhere;
        };
        let mut depth = 0;
        let root = stack.take(MAX_DEPTH).inspect(|_| depth += 1).last();
        match root {
            Some(_) if depth == MAX_DEPTH => Self::Endless,
            Some(root) => Self::Root(root),
            None => Self::Nowhere,
        }
    }
}

/// The request that the running guest code works for.
///
/// Right only when called synchronously from an import that the guest has just called, before the
/// import's first await.
pub(crate) fn current(mut store: StoreContextMut<'_, State>) -> Attribution {
    let walk = match store.data().roots.evidence {
        Evidence::Stack => Walk::from(store.as_context_mut()),
        Evidence::Sole => Walk::Nowhere,
        Evidence::Ledger(_) => Walk::Ledger(ledger::evidence(store.as_context_mut())),
    };
    store.data().roots.judge(&walk)
}

/// Makes a new store's evidence ready.
pub(crate) fn install(store: &mut Store<State>) {
    if let Evidence::Ledger(listen) = store.data().roots.evidence {
        ledger::install(store, listen);
    }
}

/// To be called just before the root task of a request is made, with nothing in between.
pub(crate) fn starting(store: &mut StoreContextMut<'_, State>) {
    if store.data().roots.ledger.is_some() {
        ledger::starting(store);
    }
}

/// Notes that `task` is the root task of a request. To be called before the guest runs.
pub(crate) fn started(
    store: &mut StoreContextMut<'_, State>,
    task: GuestTaskId,
    scope: Arc<RequestScope>,
) {
    if store.data().roots.ledger.is_some() {
        ledger::started(store, task, scope);
    } else {
        store.data_mut().roots.start(task, scope);
    }
}

impl Evidence {
    /// Whether [`checkpoint`] is to be called.
    pub(crate) fn has_checkpoints(self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

/// To be called first thing in every poll inside the event loop.
pub(crate) fn checkpoint(store: StoreContextMut<'_, State>) -> Health {
    ledger::checkpoint(store)
}

/// To be called when no task that could run is left in the instance, and no request in it.
pub(crate) fn settled(store: StoreContextMut<'_, State>) {
    ledger::settled(store);
}

#[cfg(test)]
mod tests {
    use headwater_core::Verdict;

    use super::*;

    fn verdict(evidence: Evidence, walk: &Walk) -> Verdict {
        Roots::new(evidence).judge(walk).verdict()
    }

    #[test]
    fn a_call_from_outside_any_request_is_unknown() {
        assert_eq!(verdict(Evidence::Stack, &Walk::Nowhere), Verdict::Unknown);
        assert_eq!(verdict(Evidence::Sole, &Walk::Nowhere), Verdict::Unknown);
    }

    #[test]
    fn a_walk_that_does_not_end_is_ambiguous() {
        assert_eq!(verdict(Evidence::Stack, &Walk::Endless), Verdict::Ambiguous);
    }

    #[test]
    fn a_composed_component_is_judged_by_its_ledger() {
        let evidence = Evidence::Ledger(Listen::Entries);
        for (said, expected) in [
            (
                StackEvidence::Sound(crate::measure::scope()),
                Verdict::Exact,
            ),
            (StackEvidence::Unsound, Verdict::Ambiguous),
            (StackEvidence::None, Verdict::Unknown),
        ] {
            assert_eq!(verdict(evidence, &Walk::Ledger(said)), expected);
        }
    }

    #[test]
    fn the_one_request_of_an_instance_is_named_whatever_the_stack_says() {
        let scope = crate::measure::scope();
        let mut roots = Roots::new(Evidence::Sole);
        roots.sole = Some(scope.clone());
        let attribution = roots.judge(&Walk::Nowhere);
        assert_eq!(attribution.witness(), Witness::Sole);
        assert_eq!(
            attribution.scope().map(|named| named.id()),
            Some(scope.id())
        );
    }
}
