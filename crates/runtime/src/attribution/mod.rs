//! Attribution of a guest's calls to requests.
//!
//! Only this module uses wasmtime's async call stack. Its interface resembles the task groups that replace
//! the stack in later versions of wasmtime: a root starts with a scope, and the current scope can be
//! queried.
//!
//! # The reliability of the stack on wasmtime 48
//!
//! `StoreContextMut::async_call_stack` yields the calling tasks, youngest first. The last one is the root,
//! whose id came from `start_call_concurrent`. The walk is valid only synchronously inside an import call,
//! so the result is taken there and carried along.
//!
//! Task ids are reused table indices, and a parent may be gone while its subtask lives (wasmtime issue
//! 14247). In a component that is not composed every task is a root and lives as long as its threads, so
//! the walk is exact. In a composed one it may silently lead to another request, or never end: there the
//! [`ledger`] decides if the walk is valid.
//!
//! # The other witnesses
//!
//! The stack names the calling task, but a guest's language runtime may poll one request's work in
//! another's task. So a guest can name its request: by entering a token ([`declaration`]), or in the
//! headers of its outgoing request ([`echo`]). Both count only for a request that lives in the same
//! instance ([`requests`]). The [`verdict`] combines all of them.
//!
//! # Doubt
//!
//! If tasks of a guest can wake one another, the host records the wake-ups ([`wakes`]). It does not trust
//! a call stack that may lead to the wrong request, even if the stack is sound.

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

use headwater_core::{Attribution, Doubt, RequestScope, ScopeKey};
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

/// A view of attribution's data in an instance's store.
pub(crate) trait AttributionView: 'static {
    fn roots(&mut self) -> &mut Roots;
}

impl<T: AttributionView> LedgerView for T {
    fn ledger(&mut self) -> &mut Option<Box<Ledger>> {
        &mut self.roots().ledger
    }
}

/// The kinds of evidence of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The call stack, which is sound here: a component that is not composed, with concurrent requests.
    Stack,
    /// The only request. The instance gets a request when all work for the previous one is over (0.2, and
    /// serial pools), or only ever has one.
    Sole,
    /// The call stack with a ledger of tasks, which makes it sound: a composed component.
    Ledger(Listen),
}

/// The requests of one instance, and the declarations of its tasks.
pub(crate) struct Roots {
    evidence: Evidence,
    requests: Requests<GuestTaskId>,
    declarations: Declarations<GuestTaskId>,
    /// The only request, if there is one at a time.
    sole: Option<Arc<RequestScope>>,
    /// The ledger, if the stack alone is not enough.
    ledger: Option<Box<Ledger>>,
    /// The recorded wake-ups, if the guest's tasks can wake one another.
    wakes: Option<Box<Wakes>>,
    unattributed: Arc<Unattributed>,
}

impl Roots {
    /// `hears_wakes` is true if the component reports its wake-ups.
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

    /// Records the root task of a request. The [`ledger`] does so separately.
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

    pub(crate) fn leave(&mut self, entered: Entered<GuestTaskId>) {
        self.declarations.leave(entered);
    }

    /// Returns the turns of the event loop. They must be counted between any two of its work items.
    pub(crate) fn turn(&self) -> Turn {
        self.declarations.turn().clone()
    }

    /// Returns the evidence of a caller's walk, if there is no ledger.
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

    /// Returns the request that matches `is_it`, if it may live in this instance.
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

#[derive(Debug, Clone, Copy)]
enum Walk {
    Root(GuestTaskId),
    /// No root within [`MAX_DEPTH`] steps.
    Endless,
    /// There is no calling task: the guest is being instantiated, or runs outside any call.
    Nowhere,
}

/// The task that calls the host, and the result of the walk from it.
///
/// Valid only if read synchronously in an import that the guest has just called, before the import's first
/// await.
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

    fn live<T: AttributionView>(
        &self,
        mut store: StoreContextMut<'_, T>,
        is_it: impl Fn(&RequestScope) -> bool,
    ) -> Option<Arc<RequestScope>> {
        match store.data_mut().roots().find(is_it)? {
            Found::Lives(scope) => Some(scope),
            // The calling task certainly runs, so its slot shows the type of a task.
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
            Some(Declared::Holds(key)) => self
                .live(store, |scope| scope.key() == key)
                .map_or(Declaration::None, Declaration::Holds),
            Some(Declared::Lapsed(key)) => self
                .live(store, |scope| scope.key() == key)
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

/// Returns the request that the running guest code works for.
///
/// Valid only if called synchronously from an import that the guest has just called, before the import's
/// first await.
pub(crate) fn current<T: AttributionView>(store: StoreContextMut<'_, T>) -> Attribution {
    judge(store, &Names::default(), doubt)
}

/// As [`current`], for an outgoing request with these headers or another effect. Verdicts that are not
/// exact are counted.
pub(crate) fn of_effect<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    names: &Names,
) -> Attribution {
    let attribution = judge(store.as_context_mut(), names, doubt);
    store.data_mut().roots().unattributed.note(&attribution);
    attribution
}

/// Returns the request whose task is running, or that it declares. Can be called anywhere in the guest's
/// code, for example at a tick of the epoch, which may be before a task has reported that it continues.
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
        // The stack is not needed.
        let witnesses = Witnesses {
            sole: roots.sole.clone(),
            ..Witnesses::default()
        };
        return witnesses.judge();
    }
    let has_ledger = roots.ledger.is_some();
    // The ledger does its own walk, over the whole stack.
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
    // The request's id names every link of a chain that the request has in this instance.
    let echo = match (echo, &stack) {
        (Echo::One(echoed), StackEvidence::Sound(seen))
            if echoed.id() == seen.id() && !names.by_span(&echoed) =>
        {
            Echo::One(Arc::clone(seen))
        }
        (echo, _) => echo,
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

/// Reads the recorded wake-ups and passes them to a closure. None if nothing is recorded.
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

/// Returns the reason why the calling task, one of `own`, may be doing another's work.
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

/// Returns the request that a guest worked for when it trapped, if that is certain. Must be called when
/// the event loop has returned the trap, which leaves wasmtime's running task as it was.
///
/// Not known in a composed component: there the running task may be stored on the stack of the guest's
/// code, which a trap unwinds.
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

/// Prepares a new store for its kind of evidence.
pub(crate) fn install<T: AttributionView>(store: &mut Store<T>) {
    if let Evidence::Ledger(listen) = store.data_mut().roots().evidence {
        ledger::install(store, listen);
    }
}

/// Records the root task of a request. Must be called before the guest runs.
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

/// Forgets the requests that no longer live. `fresh` is a task that was just made.
fn forget_ended<T: AttributionView>(store: &mut StoreContextMut<'_, T>, fresh: GuestTaskId) {
    // If not even this one can be seen to run, all are kept.
    if !task::is_running(store.as_context_mut(), fresh, fresh) {
        return;
    }
    let mut requests = std::mem::take(&mut store.data_mut().roots().requests);
    requests.forget(|task| task::is_running(store.as_context_mut(), task, fresh));
    store.data_mut().roots().requests = requests;
}

/// Declares, by a token, that the calling task works for this request.
pub(crate) fn enter<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    request: ScopeKey,
) -> Entered<GuestTaskId> {
    let task = Caller::of(store.as_context_mut()).task;
    store.data_mut().roots().declarations.enter(task, request)
}

/// Returns true if a request lives in the calling guest's instance.
pub(crate) fn is_live<T: AttributionView>(
    mut store: StoreContextMut<'_, T>,
    request: ScopeKey,
) -> bool {
    let caller = Caller::of(store.as_context_mut());
    caller.live(store, |scope| scope.key() == request).is_some()
}

impl Evidence {
    pub(crate) fn has_checkpoints(self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

#[cfg(test)]
mod tests;
