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
mod unattributed;
mod verdict;
pub(crate) mod wakes;

use std::sync::Arc;

use headwater_core::{Attribution, Doubt, RequestId, RequestScope};
use wasmtime::component::GuestTaskId;
use wasmtime::{AsContext, AsContextMut, Store, StoreContextMut};

use self::declaration::{Declarations, Declared};
pub(crate) use self::declaration::{Entered, Turn};
pub(crate) use self::echo::Names;
pub(crate) use self::ledger::{Health, checkpoint, settled, starting};
use self::ledger::{Ledger, LedgerView, Listen, MAX_DEPTH};
use self::requests::{Found, Requests};
pub(crate) use self::unattributed::Unattributed;
use self::verdict::{Declaration, Echo, InDoubt, StackEvidence, Witnesses};
use self::wakes::{Of, Wakes};

/// By which attribution finds what it knows of an instance in the data of the instance's store.
pub(crate) trait AttributionView: 'static {
    /// What is known of the instance's requests and tasks.
    fn roots(&mut self) -> &mut Roots;
}

impl<T: AttributionView> LedgerView for T {
    fn ledger(&mut self) -> &mut Option<Box<Ledger>> {
        &mut self.roots().ledger
    }
}

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
    unattributed: Arc<Unattributed>,
}

impl Roots {
    /// `hears_wakes` says whether the component tells of its tasks.
    pub(crate) fn new(
        evidence: Evidence,
        hears_wakes: bool,
        unattributed: Arc<Unattributed>,
    ) -> Self {
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
            unattributed,
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

    /// Takes back what a task declared.
    pub(crate) fn leave(&mut self, entered: Entered<GuestTaskId>) {
        self.declarations.leave(entered);
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

    fn of<T: AttributionView>(mut store: StoreContextMut<'_, T>) -> Self {
        let Ok(stack) = store.async_call_stack() else {
            return Self::NOBODY;
        };
        let mut stack = stack.take(MAX_DEPTH);
        let Some(youngest) = stack.next() else {
            return Self::NOBODY;
        };
        let (depth, root) = stack.fold((1, youngest), |(depth, _), task| (depth + 1, task));
        Self {
            task: Some(youngest),
            walk: match depth {
                MAX_DEPTH => Walk::Endless,
                _ => Walk::Root(root),
            },
        }
    }

    /// The live request of the instance that `is_it` is true of.
    fn live<T: AttributionView>(
        &self,
        mut store: StoreContextMut<'_, T>,
        is_it: impl Fn(&RequestScope) -> bool,
    ) -> Option<Arc<RequestScope>> {
        match store.data_mut().roots().find(is_it)? {
            Found::Lives(scope) => Some(scope),
            // The calling task runs for certain; it shows what a task looks like.
            Found::LivesIfRunning(scope, root) => {
                task::is_running(store, root, self.task?).then_some(scope)
            }
        }
    }

    fn declaration<T: AttributionView>(&self, mut store: StoreContextMut<'_, T>) -> Declaration {
        let declared = self
            .task
            .and_then(|task| store.data_mut().roots().declarations.of(task));
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

    fn echo<T: AttributionView>(&self, mut store: StoreContextMut<'_, T>, names: &Names) -> Echo {
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
pub(crate) fn current<T: AttributionView>(store: StoreContextMut<'_, T>) -> Attribution {
    judge(store, &Names::default(), doubt)
}

/// Likewise, for an outgoing request with these headers, or another effect. It is counted when it is not
/// exact.
pub(crate) fn of_effect<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    names: &Names,
) -> Attribution {
    let attribution = judge(store.as_context_mut(), names, doubt);
    store.data_mut().roots().unattributed.note(&attribution);
    attribution
}

/// The request whose task is running, or that it declares to work for. To be asked anywhere in the guest's
/// code: at a tick of the epoch, for instance, which may be before a task has said that it goes on.
pub(crate) fn running<T: AttributionView>(store: StoreContextMut<'_, T>) -> Attribution {
    judge(store, &Names::default(), |_, _| None)
}

fn judge<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    names: &Names,
    doubt: impl FnOnce(&mut StoreContextMut<'_, T>, &Arc<RequestScope>) -> Option<InDoubt>,
) -> Attribution {
    let roots = store.data_mut().roots();
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
        store.data_mut().roots().stack(&caller.walk)
    };
    let doubt = match &stack {
        StackEvidence::Sound(own) => doubt(&mut store, own),
        StackEvidence::Unsound | StackEvidence::None => None,
    };
    let witnesses = Witnesses {
        declaration,
        echo,
        stack,
        doubt,
        sole: store.data_mut().roots().sole.clone(),
    };
    witnesses.judge()
}

/// Reads what was heard of wake-ups, and asks for something of it. None if nothing is heard.
fn with_wakes<T: AttributionView, R>(
    store: &mut StoreContextMut<'_, T>,
    ask: impl FnOnce(&mut Wakes) -> R,
) -> Option<R> {
    let mut wakes = store.data_mut().roots().wakes.take()?;
    wakes.read(store.as_context());
    let answer = ask(&mut wakes);
    store.data_mut().roots().wakes = Some(wakes);
    Some(answer)
}

/// Why the task that calls, which is one of `own`, may be doing another's work.
fn doubt<T: AttributionView>(
    store: &mut StoreContextMut<'_, T>,
    own: &Arc<RequestScope>,
) -> Option<InDoubt> {
    let heard = with_wakes(store, |wakes| wakes.doubt(own))?;
    heard.or_else(|| {
        let others = store.data_mut().roots().requests.outlived(own)?;
        let reason = Doubt::Outlived;
        Some(InDoubt { reason, others })
    })
}

/// The request that a guest worked for when it trapped, if that is known for certain. To be called when
/// the event loop has returned the trap, which leaves wasmtime's notion of the running task as it was.
///
/// Not known in a composed component: there a task may be noted on the stack of the guest's code, which
/// a trap unwinds.
pub(crate) fn of_failure<T: AttributionView>(store: &mut Store<T>) -> Option<Arc<RequestScope>> {
    let roots = store.data_mut().roots();
    match roots.evidence {
        Evidence::Sole => roots.sole.clone(),
        Evidence::Stack => {
            let caller = Caller::of(store.as_context_mut());
            match store.data_mut().roots().stack(&caller.walk) {
                StackEvidence::Sound(scope) => Some(scope),
                StackEvidence::None | StackEvidence::Unsound => None,
            }
        }
        Evidence::Ledger(_) => None,
    }
}

/// Makes a new store's evidence ready.
pub(crate) fn install<T: AttributionView>(store: &mut Store<T>) {
    if let Evidence::Ledger(listen) = store.data_mut().roots().evidence {
        ledger::install(store, listen);
    }
}

/// Notes that `task` is the root task of a request. To be called before the guest runs.
pub(crate) fn started<T: AttributionView>(
    store: &mut StoreContextMut<'_, T>,
    task: GuestTaskId,
    scope: Arc<RequestScope>,
) {
    if store.data_mut().roots().ledger.is_some() {
        ledger::started(store, task, scope.clone());
    }
    let roots = store.data_mut().roots();
    roots.start(task, scope);
    if roots.requests.are_many() {
        forget_ended(store, task);
    }
}

/// Forgets the requests that live no more. `fresh` is a task that was just made.
fn forget_ended<T: AttributionView>(store: &mut StoreContextMut<'_, T>, fresh: GuestTaskId) {
    // Where that cannot be told, not even of this one, all are kept.
    if !task::is_running(store.as_context_mut(), fresh, fresh) {
        return;
    }
    let mut requests = std::mem::take(&mut store.data_mut().roots().requests);
    requests.forget(|task| task::is_running(store.as_context_mut(), task, fresh));
    store.data_mut().roots().requests = requests;
}

/// The task that calls declares, by a token, that it works for this request.
pub(crate) fn enter<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    request: RequestId,
) -> Entered<GuestTaskId> {
    let task = Caller::of(store.as_context_mut()).task;
    store.data_mut().roots().declarations.enter(task, request)
}

/// Whether a request lives in the instance, by whose guest it is asked.
pub(crate) fn is_live<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    request: RequestId,
) -> bool {
    let caller = Caller::of(store.as_context_mut());
    caller.live(store, |scope| scope.id() == request).is_some()
}

impl Evidence {
    /// Whether [`checkpoint`] is to be called.
    pub(crate) fn has_checkpoints(self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

#[cfg(test)]
mod tests;
