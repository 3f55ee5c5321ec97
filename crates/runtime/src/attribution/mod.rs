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
//!
//! # The other witnesses
//!
//! The stack says whose task calls, and a guest's language runtime may poll one request's work in
//! another's task. So a guest can say whom it works for: by entering a token ([`declaration`]), or by
//! the headers of its outgoing request ([`echo`]). Both count only for a request that lives in the
//! same instance ([`requests`]). What all of them come to is decided in [`verdict`].
//!
//! # Doubt
//!
//! Where one task of a guest can wake another, the host hears of it ([`wakes`]), and does not believe a
//! call stack that may lead to the wrong request, however sound it is.

mod declaration;
mod echo;
pub(crate) mod ledger;
mod number;
mod requests;
mod task;
mod tokens;
mod verdict;
pub(crate) mod wakes;

use std::sync::Arc;

use headwater_core::{Attribution, Doubt, RequestScope};
use wasmtime::component::GuestTaskId;
use wasmtime::{AsContext, AsContextMut, Store, StoreContextMut};

use self::declaration::{Declarations, Declared};
use self::ledger::{Health, Ledger, Listen};
use self::requests::{Found, Requests};
use self::verdict::{Declaration, Echo, InDoubt, StackEvidence, Witnesses};
use self::wakes::{Of, Wakes};
use crate::guest_state::GuestState;

pub(crate) use self::declaration::Turn;
pub(crate) use self::echo::Names;
pub use self::tokens::AttributionScope;

/// The longest walk. A walk can be endless (a cycle of reused slots); one that gets this far is no
/// evidence.
const MAX_DEPTH: usize = 64;

/// Which evidence an instance can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The call stack, which is sound here: one component, many requests at once.
    Stack,
    /// The instance is given a request when nothing of the one before goes on in it (0.2, and what is
    /// set to be serial), or it only ever has one request.
    Sole,
    /// The call stack with a ledger of tasks, without which it is not sound: a composed component.
    Ledger(Listen),
}

/// The requests of one instance, and what its tasks declared.
pub(crate) struct Roots {
    evidence: Evidence,
    requests: Requests<GuestTaskId>,
    declarations: Declarations<GuestTaskId>,
    /// The one request, where there is one at a time.
    sole: Option<Arc<RequestScope>>,
    /// What is known of tasks, where the stack alone says too little.
    ledger: Option<Box<Ledger>>,
    /// What was heard of wake-ups, if the guest's tasks can wake one another.
    wakes: Option<Box<Wakes>>,
}

impl Roots {
    /// `hears_wakes` says whether the component tells of its tasks.
    pub(crate) fn new(evidence: Evidence, hears_wakes: bool) -> Self {
        Self {
            evidence,
            requests: Requests::default(),
            declarations: Declarations::default(),
            sole: None,
            ledger: match evidence {
                Evidence::Ledger(_) => Some(Ledger::new()),
                Evidence::Stack | Evidence::Sole => None,
            },
            wakes: match evidence {
                Evidence::Stack if hears_wakes => Some(Box::new(Wakes::new(Of::ActiveTask))),
                Evidence::Ledger(_) if hears_wakes => Some(Box::new(Wakes::new(Of::AnyTask))),
                _ => None,
            },
        }
    }

    /// Notes that `task` is the root task of a request. The [`ledger`] notes it for itself.
    pub(crate) fn start(&mut self, task: GuestTaskId, scope: Arc<RequestScope>) {
        self.declarations.task_starts(task);
        if let Some(wakes) = &mut self.wakes {
            wakes.request_starts(&scope);
        }
        match self.evidence {
            Evidence::Stack | Evidence::Ledger(_) => self.requests.start(task, scope),
            Evidence::Sole => self.sole = Some(scope),
        }
    }

    /// The turns of the event loop, to be counted between any two of its work items.
    pub(crate) fn turn(&self) -> Turn {
        self.declarations.turn().clone()
    }

    /// What the walk of a caller comes to, where there is no ledger.
    fn stack(&self, walk: &Walk) -> StackEvidence {
        match (self.evidence, walk) {
            (Evidence::Sole, _) => StackEvidence::None,
            (Evidence::Ledger(_), _) | (Evidence::Stack, Walk::Endless) => StackEvidence::Unsound,
            (Evidence::Stack, Walk::Root(root)) => match self.requests.of_task(root) {
                Some(scope) => StackEvidence::Sound(scope.clone()),
                None => StackEvidence::None,
            },
            (Evidence::Stack, Walk::Nowhere) => StackEvidence::None,
        }
    }

    /// The request that `is_it` is true of, if it may live in this instance.
    fn find(&self, is_it: impl Fn(&RequestScope) -> bool) -> Option<Found<GuestTaskId>> {
        match self.evidence {
            Evidence::Stack | Evidence::Ledger(_) => self.requests.find(is_it),
            Evidence::Sole => {
                let sole = self.sole.as_ref().filter(|scope| is_it(scope));
                sole.map(|scope| Found::Lives(scope.clone()))
            }
        }
    }
}

/// Where the walk from the calling task led.
#[derive(Debug, Clone, Copy)]
enum Walk {
    /// To this task, which has no caller.
    Root(GuestTaskId),
    /// Nowhere within [`MAX_DEPTH`] steps.
    Endless,
    /// There is no calling task: the guest is being instantiated, or runs outside any call.
    Nowhere,
}

/// The task that calls the host, and where the walk from it led.
///
/// Right only when read synchronously in an import that the guest has just called, before the
/// import's first await.
#[derive(Debug, Clone, Copy)]
struct Caller {
    task: Option<GuestTaskId>,
    walk: Walk,
}

impl Caller {
    const NOBODY: Self = Self {
        task: None,
        walk: Walk::Nowhere,
    };

    fn of(mut store: StoreContextMut<'_, GuestState>) -> Self {
        let Ok(stack) = store.async_call_stack() else {
            return Self::NOBODY;
        };
        let mut ends = None;
        let mut depth = 0;
        for task in stack.take(MAX_DEPTH) {
            let (youngest, _) = ends.unwrap_or((task, task));
            ends = Some((youngest, task));
            depth += 1;
        }
        match ends {
            Some((youngest, root)) => Self {
                task: Some(youngest),
                walk: if depth == MAX_DEPTH {
                    Walk::Endless
                } else {
                    Walk::Root(root)
                },
            },
            None => Self::NOBODY,
        }
    }

    /// The live request of the instance that `is_it` is true of.
    fn live(
        &self,
        store: StoreContextMut<'_, GuestState>,
        is_it: impl Fn(&RequestScope) -> bool,
    ) -> Option<Arc<RequestScope>> {
        match store.data().roots.find(is_it)? {
            Found::Lives(scope) => Some(scope),
            // The calling task runs for certain; it shows what a task looks like.
            Found::LivesIfRunning(scope, root) => {
                task::is_running(store, root, self.task?).then_some(scope)
            }
        }
    }

    fn declaration(&self, store: StoreContextMut<'_, GuestState>) -> Declaration {
        let declared = self
            .task
            .and_then(|task| store.data().roots.declarations.of(task));
        match declared {
            Some(Declared::Holds(id)) => self
                .live(store, |scope| scope.id() == id)
                .map_or(Declaration::None, Declaration::Holds),
            Some(Declared::Lapsed(id)) => self
                .live(store, |scope| scope.id() == id)
                .map_or(Declaration::None, Declaration::Lapsed),
            None => Declaration::None,
        }
    }

    fn echo(&self, mut store: StoreContextMut<'_, GuestState>, names: &Names) -> Echo {
        let span = self.live(store.as_context_mut(), |scope| names.by_span(scope));
        let id = self.live(store, |scope| names.by_id(scope));
        match (span, id) {
            (Some(span), Some(id)) if span.id() != id.id() => Echo::Two([span, id]),
            (Some(one), _) | (None, Some(one)) => Echo::One(one),
            (None, None) => Echo::None,
        }
    }
}

/// The request that the running guest code works for.
///
/// Right only when called synchronously from an import that the guest has just called, before the
/// import's first await.
pub(crate) fn current(store: StoreContextMut<'_, GuestState>) -> Attribution {
    judge(store, &Names::default(), doubt)
}

/// Likewise, for an outgoing request with these headers.
pub(crate) fn of_outgoing(store: StoreContextMut<'_, GuestState>, names: &Names) -> Attribution {
    judge(store, names, doubt)
}

/// The request whose task is running, or that it declares to work for. To be asked anywhere in the guest's
/// code: at a tick of the epoch, for instance, which may be before a task has said that it goes on.
pub(crate) fn running(store: StoreContextMut<'_, GuestState>) -> Attribution {
    judge(store, &Names::default(), |_, _| None)
}

fn judge(
    mut store: StoreContextMut<'_, GuestState>,
    names: &Names,
    doubt: impl FnOnce(&mut StoreContextMut<'_, GuestState>, &Arc<RequestScope>) -> Option<InDoubt>,
) -> Attribution {
    let roots = &store.data().roots;
    let declares = !roots.declarations.is_empty();
    let echoes = !names.is_empty();
    if roots.evidence == Evidence::Sole && !declares && !echoes {
        // Nothing needs the stack.
        let witnesses = Witnesses {
            sole: roots.sole.clone(),
            ..Witnesses::default()
        };
        return witnesses.judge();
    }
    let has_ledger = roots.ledger.is_some();
    // The ledger walks for itself, and needs all of the way.
    let caller = if declares || echoes || !has_ledger {
        Caller::of(store.as_context_mut())
    } else {
        Caller::NOBODY
    };
    let declaration = if declares {
        caller.declaration(store.as_context_mut())
    } else {
        Declaration::None
    };
    let echo = if echoes {
        caller.echo(store.as_context_mut(), names)
    } else {
        Echo::None
    };
    let stack = if has_ledger {
        ledger::evidence(store.as_context_mut())
    } else {
        store.data().roots.stack(&caller.walk)
    };
    let doubt = match &stack {
        StackEvidence::Sound(own) => doubt(&mut store, own),
        StackEvidence::Unsound | StackEvidence::None => None,
    };
    let roots = &store.data().roots;
    let witnesses = Witnesses {
        declaration,
        echo,
        stack,
        doubt,
        sole: roots.sole.clone(),
    };
    witnesses.judge()
}

/// Reads what was heard of wake-ups, and asks for something of it. None if nothing is heard.
fn with_wakes<R>(
    store: &mut StoreContextMut<'_, GuestState>,
    ask: impl FnOnce(&mut Wakes) -> R,
) -> Option<R> {
    let mut wakes = store.data_mut().roots.wakes.take()?;
    wakes.read(store.as_context());
    let answer = ask(&mut wakes);
    store.data_mut().roots.wakes = Some(wakes);
    Some(answer)
}

/// Why the task that calls, which is one of `own`, may be doing another's work.
fn doubt(store: &mut StoreContextMut<'_, GuestState>, own: &Arc<RequestScope>) -> Option<InDoubt> {
    let heard = with_wakes(store, |wakes| wakes.doubt(own))?;
    heard.or_else(|| {
        let others = store.data().roots.requests.outlived(own)?;
        let reason = Doubt::Outlived;
        Some(InDoubt { reason, others })
    })
}

/// The request that a guest worked for when it trapped, if that is known for certain. To be called when
/// the event loop has returned the trap, which leaves wasmtime's notion of the running task as it was.
///
/// Not known in a composed component: there a task may be noted on the stack of the guest's code, which
/// a trap unwinds.
pub(crate) fn of_failure(store: &mut Store<GuestState>) -> Option<Arc<RequestScope>> {
    match store.data().roots.evidence {
        Evidence::Sole => store.data().roots.sole.clone(),
        Evidence::Stack => {
            let caller = Caller::of(store.as_context_mut());
            match store.data().roots.stack(&caller.walk) {
                StackEvidence::Sound(scope) => Some(scope),
                StackEvidence::None | StackEvidence::Unsound => None,
            }
        }
        Evidence::Ledger(_) => None,
    }
}

/// Makes a new store's evidence ready.
pub(crate) fn install(store: &mut Store<GuestState>) {
    if let Evidence::Ledger(listen) = store.data().roots.evidence {
        ledger::install(store, listen);
    }
}

/// To be called just before the root task of a request is made, with nothing in between.
pub(crate) fn starting(store: &mut StoreContextMut<'_, GuestState>) {
    if store.data().roots.ledger.is_some() {
        ledger::starting(store);
    }
}

/// Notes that `task` is the root task of a request. To be called before the guest runs.
pub(crate) fn started(
    store: &mut StoreContextMut<'_, GuestState>,
    task: GuestTaskId,
    scope: Arc<RequestScope>,
) {
    if store.data().roots.ledger.is_some() {
        ledger::started(store, task, scope.clone());
    }
    store.data_mut().roots.start(task, scope);
    if store.data().roots.requests.are_many() {
        forget_ended(store, task);
    }
}

/// Forgets the requests that live no more. `fresh` is a task that was just made.
fn forget_ended(store: &mut StoreContextMut<'_, GuestState>, fresh: GuestTaskId) {
    // Where that cannot be told, not even of this one, all are kept.
    if !task::is_running(store.as_context_mut(), fresh, fresh) {
        return;
    }
    let mut requests = std::mem::take(&mut store.data_mut().roots.requests);
    requests.forget(|task| task::is_running(store.as_context_mut(), task, fresh));
    store.data_mut().roots.requests = requests;
}

impl Evidence {
    /// Whether [`checkpoint`] is to be called.
    pub(crate) fn has_checkpoints(self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

/// To be called first thing in every poll inside the event loop.
pub(crate) fn checkpoint(store: StoreContextMut<'_, GuestState>) -> Health {
    ledger::checkpoint(store)
}

/// To be called when no task that could run is left in the instance, and no request in it.
pub(crate) fn settled(store: StoreContextMut<'_, GuestState>) {
    ledger::settled(store);
}

#[cfg(test)]
mod tests;
