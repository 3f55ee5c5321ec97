//! The ledger of a composed component's tasks: the request of each task, recorded at its birth.
//!
//! **This is temporary.** wasmtime 48 knows only the caller of a task, and forgets it when the caller is
//! gone. wasmtime 50 has *task groups*, which subtasks inherit and which live until the last of them is
//! gone. They replace this whole module by a look-up of the current group's scope
//! (`docs/decisions/0005-ledger.md`).
//!
//! # The problem
//!
//! A task's id is its index in wasmtime's table, without a generation, and indices are reused, the last
//! freed first. A task is deleted when its threads have ended, even if tasks that it called live on in
//! another of the composed components. Then their path to the root is cut, or leads through the task
//! that reused the caller's index: to another request, silently, in most calls, or endlessly in a circle
//! (wasmtime issue 14247).
//!
//! # The solution
//!
//! 1. **Memo.** The store's call hook runs at every entry into WebAssembly, hence for each task before
//!    its first instruction, when its caller's id is still right. The task gets its caller's request,
//!    which is recorded ([`tasks`]).
//! 2. **Parking.** Between two work items of wasmtime's event loop the numbers of dead tasks are taken
//!    out of circulation: an entry of our own takes their place. The tasks that they called still name
//!    them, and no other task can be mistaken for them.
//! 3. **Virgin numbers.** A request starts under a number without a record.
//! 4. **Agreement.** An import call is attributed only if every task on the stack has a record, each was
//!    called by the next one, and all work for the same request.
//!
//! # Invariants
//!
//! - A task's record never changes to another request: only to *ambiguous*.
//! - A task's record is right, or *ambiguous*. For a root it is right by (3). For another task it is
//!   right if the caller seen at its birth is the true one. It could be another task only if the caller
//!   had died unseen, because a recorded number is parked until nothing can refer to it. Callers are
//!   born unseen only where components call each other synchronously, and there the hook also listens to
//!   calls of the host ([`Listen::Everywhere`]).
//! - A number that was reused before it could be parked is detected: its new task has another caller
//!   than the record says, or one that works for another request.
//! - A number is released only when it has no recorded callee, and a census of wasmtime's table finds no
//!   task without a record.
//! - Size: live tasks, dead tasks with callees, and at most [`tasks::SLACK`] others. At [`tasks::MOST`]
//!   the ledger gives up and the instance is retired.
//! - Anything unexpected makes calls ambiguous; nothing here can fail a request.

mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use headwater_core::RequestScope;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{AsContextMut, CallHook, Store, StoreContextMut};

use self::tasks::Tasks;
use crate::attribution::number::{Number, number};
use crate::attribution::verdict::StackEvidence;

/// The longest walk. A walk can be endless (a cycle of reused slots); one of this length is no evidence.
pub(super) const MAX_DEPTH: usize = 64;

/// A view of the ledger in an instance's store.
pub(crate) trait LedgerView: 'static {
    fn ledger(&mut self) -> &mut Option<Box<Ledger>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Entries into WebAssembly. Enough where components call each other asynchronously.
    Entries,
    /// Calls of the host as well: for components whose functions are called synchronously, which makes
    /// tasks without an entry. Costs several times as much.
    Everywhere,
}

pub(crate) struct Ledger {
    tasks: Tasks,
    /// True if guest code ran since the last checkpoint; otherwise no task can have died.
    ran: bool,
    /// The number of the next task, between [`starting`] and [`started`].
    next: Option<Number>,
}

impl Ledger {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            tasks: Tasks::default(),
            ran: false,
            next: None,
        })
    }

    /// Returns the number of recorded tasks, alive and dead.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.tasks.size()
    }
}

/// Sets the hook of a store whose state has a ledger.
pub(crate) fn install<T: LedgerView>(store: &mut Store<T>, listen: Listen) {
    store.call_hook(move |mut store, hook| {
        match (hook, listen) {
            (CallHook::CallingWasm, _) => entered(&mut store)?,
            (CallHook::CallingHost, Listen::Everywhere) => {
                // First, so that the next event cannot reuse numbers that were freed a moment ago.
                park(&mut store);
                calling_host(&mut store)?;
            }
            _ => {
                if let Some(ledger) = store.data_mut().ledger() {
                    ledger.ran = true;
                }
            }
        }
        Ok(())
    });
}

/// Handles an entry into WebAssembly: a task begins or continues.
fn entered<T: LedgerView>(store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<()> {
    // An error means that wasmtime's own state is broken: the guest traps, as it would without the hook.
    let (task, caller) = {
        let mut stack = store.async_call_stack()?;
        (stack.next().map(number), stack.next().map(number))
    };
    let Some(ledger) = store.data_mut().ledger() else {
        return Ok(());
    };
    ledger.ran = true;
    match (task, caller) {
        // The instance is being set up.
        (None, _) => {}
        (Some(Some(task)), None) => ledger.tasks.entered(task, None),
        (Some(Some(task)), Some(Some(caller))) => ledger.tasks.entered(task, Some(caller)),
        _ => ledger.tasks.give_up(),
    }
    Ok(())
}

/// Handles a call of the host. By now all tasks of synchronous calls are in wasmtime's table, and all
/// without a record are on the machine's stack, below the first with a record.
fn calling_host<T: LedgerView>(store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<()> {
    let stack = Stack::of(store)?;
    if let Some(ledger) = store.data_mut().ledger() {
        ledger.ran = true;
        match stack.numbers() {
            Some(numbers) => ledger.tasks.called_synchronously(numbers),
            None => ledger.tasks.give_up(),
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// The guest has more tasks than the ledger holds: the instance should take no more requests.
    Outgrown,
}

/// Takes the numbers of dead tasks out of circulation. Must be called between two work items: first in
/// every poll of the future inside the store's event loop.
pub(crate) fn checkpoint<T: LedgerView>(mut store: StoreContextMut<'_, T>) -> Health {
    park(&mut store);
    let ledger = store.data_mut().ledger().as_mut();
    if ledger.is_some_and(|ledger| ledger.tasks.outgrown()) {
        Health::Outgrown
    } else {
        Health::Good
    }
}

fn park<T: LedgerView>(store: &mut StoreContextMut<'_, T>) {
    with_table(store, |ledger, table| {
        if std::mem::take(&mut ledger.ran) {
            ledger.tasks.checkpoint(table);
        }
    });
}

/// Must be called just before a request's root task is made, with nothing in between.
pub(crate) fn starting<T: LedgerView>(store: &mut StoreContextMut<'_, T>) {
    with_table(store, |ledger, table| {
        ledger.next = ledger.tasks.virgin(table);
    });
}

/// Must be called as soon as a request's root task is made.
pub(crate) fn started<T: LedgerView>(
    store: &mut StoreContextMut<'_, T>,
    task: GuestTaskId,
    scope: Arc<RequestScope>,
) {
    with_table(store, |ledger, table| {
        match (ledger.next.take(), number(task)) {
            (Some(expected), Some(task)) if task == expected => {
                ledger.tasks.root(table, task, scope);
            }
            // Ids are not the numbers that they should be.
            _ => ledger.tasks.give_up(),
        }
    });
}

/// Must be called when the instance has no request and no task that could run.
pub(crate) fn settled<T: LedgerView>(mut store: StoreContextMut<'_, T>) {
    with_table(&mut store, |ledger, table| ledger.tasks.settled(table));
}

/// Returns the evidence for the running guest code. Right only synchronously in an import call.
pub(crate) fn evidence<T: LedgerView>(mut store: StoreContextMut<'_, T>) -> StackEvidence {
    let Ok(stack) = Stack::of(&mut store) else {
        return StackEvidence::Unsound;
    };
    let Some(ledger) = store.data_mut().ledger() else {
        return StackEvidence::None;
    };
    match stack.numbers() {
        Some(numbers) => ledger.tasks.evidence(numbers),
        None => StackEvidence::Unsound,
    }
}

fn with_table<T: LedgerView>(
    store: &mut StoreContextMut<'_, T>,
    work: impl FnOnce(&mut Ledger, &mut ResourceTable),
) {
    let Some(mut ledger) = store.data_mut().ledger().take() else {
        return;
    };
    match store.concurrent_resource_table() {
        Some(table) => work(&mut ledger, table),
        None => ledger.tasks.give_up(),
    }
    *store.data_mut().ledger() = Some(ledger);
}

/// The tasks from the running one to its root, as far as the walk went.
struct Stack {
    numbers: [Number; MAX_DEPTH],
    length: usize,
    /// True if each id has a number.
    readable: bool,
}

impl Stack {
    fn of<T: 'static>(store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<Self> {
        let mut stack = Self {
            numbers: [0; MAX_DEPTH],
            length: 0,
            readable: true,
        };
        for id in store.as_context_mut().async_call_stack()?.take(MAX_DEPTH) {
            match number(id) {
                Some(number) => stack.numbers[stack.length] = number,
                None => stack.readable = false,
            }
            stack.length += 1;
        }
        Ok(stack)
    }

    /// Returns the numbers, youngest first. None if they cannot be read or are so many that they may
    /// form a circle.
    fn numbers(&self) -> Option<&[Number]> {
        (self.readable && self.length < MAX_DEPTH).then(|| &self.numbers[..self.length])
    }
}
