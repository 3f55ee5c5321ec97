//! The ledger of a composed component's tasks: which request each works for, noted at its birth.
//!
//! **This is a bridge.** wasmtime 48 knows of a task only who called it, and forgets that when the
//! caller is gone. wasmtime 50 has *task groups*, which subtasks inherit and which live until the last
//! of them is gone: with them this whole module goes, and what is left of it is a look-up of the
//! current group's scope.
//!
//! # What is wrong without it
//!
//! A task's id is its index in wasmtime's table, without a generation, and indices are used again, the
//! last freed first. A task is deleted when its threads have ended, also if tasks that it called live on
//! in another of the composed components. Then their way to the root is cut, or leads through whoever
//! took the caller's index, to another request: silently, in most calls, or in a circle for ever
//! (wasmtime issue 14247).
//!
//! # How it works
//!
//! 1. **Memo.** The store's call hook hears of every entry into WebAssembly, hence of each task before
//!    its first instruction, when its caller's id is still right. The task's request is that of its
//!    caller, and is written down ([`tasks`]).
//! 2. **Parking.** Between two work items of wasmtime's event loop the numbers of tasks that have died
//!    are taken out of circulation, by an entry of our own in their place. What they called still names
//!    them, and nobody else can be mistaken for them.
//! 3. **Virgin numbers.** A request starts under a number that nothing is known of.
//! 4. **Agreement.** An import call is attributed only if every task on the stack is known, each was
//!    called by the next one, and all work for the same request.
//!
//! # Invariants
//!
//! - What is written of a task is never changed to another request: only to *ambiguous*.
//! - What is written of a task is right, or *ambiguous*. For a root it is right by (3). For another it
//!   is right if the caller that is seen at its birth is the true one. That could be somebody else only
//!   if the caller had died unseen, for the number of a known one is parked until nothing can refer to
//!   it; and callers that are born unseen exist only where components call each other synchronously,
//!   where the hook listens to calls of the host as well ([`Listen::Everywhere`]).
//! - A number that was used again before it could be parked shows: its new task has another caller, or
//!   one that works for another request, than what is written says.
//! - A number is given back only when it has no callee that is known, and a census of wasmtime's table
//!   finds no task that is unknown.
//! - Size: tasks that live, those that died and have callees, and at most [`tasks::SLACK`] others. At
//!   [`tasks::MOST`] the ledger gives up and the instance is retired.
//! - Any surprise makes calls ambiguous; nothing here can fail a request.

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

/// The longest walk. A walk can be endless (a cycle of reused slots); one that gets this far is no
/// evidence.
pub(super) const MAX_DEPTH: usize = 64;

/// By which the ledger is found in the data of an instance's store.
pub(crate) trait LedgerView: 'static {
    /// It, if the instance has one.
    fn ledger(&mut self) -> &mut Option<Box<Ledger>>;
}

/// What the ledger listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Entries into WebAssembly. Enough where components call each other asynchronously.
    Entries,
    /// Calls of the host as well: for components whose functions are called synchronously, by which
    /// tasks come to be without an entry. Costs several times as much.
    Everywhere,
}

/// The ledger of one instance.
pub(crate) struct Ledger {
    tasks: Tasks,
    /// Guest code ran since the last checkpoint; otherwise no task can have died.
    ran: bool,
    /// The number that the next task will have, between [`starting`] and [`started`].
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

    /// How many tasks it remembers, alive and dead.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.tasks.size()
    }
}

/// Puts the hook into a store whose state has a ledger.
pub(crate) fn install<T: LedgerView>(store: &mut Store<T>, listen: Listen) {
    store.call_hook(move |mut store, hook| {
        match (hook, listen) {
            (CallHook::CallingWasm, _) => entered(&mut store)?,
            (CallHook::CallingHost, Listen::Everywhere) => {
                // First, so that what was freed a moment ago is not used again by what comes next.
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

/// The hook at an entry into WebAssembly: a task's birth, or its going on.
fn entered<T: LedgerView>(store: &mut StoreContextMut<'_, T>) -> wasmtime::Result<()> {
    // An error means that wasmtime's own state is broken: it is the guest's trap, as it would be
    // without the hook.
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

/// The hook at a call of the host: by now all tasks that synchronous calls made are in wasmtime's
/// table, and all that are unknown are on the machine's stack, below the first that is known.
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

/// Whether the ledger goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    Good,
    /// The guest keeps more tasks than the ledger holds: the instance should take no more requests.
    Outgrown,
}

/// Takes the numbers of tasks that have died out of circulation. To be called between two work items:
/// first thing in every poll of what runs inside the store's event loop.
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

/// To be called just before a request's root task is made, with nothing in between.
pub(crate) fn starting<T: LedgerView>(store: &mut StoreContextMut<'_, T>) {
    with_table(store, |ledger, table| {
        ledger.next = ledger.tasks.virgin(table);
    });
}

/// To be called as soon as a request's root task is made.
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
            // Numbers are not what they are thought to be.
            _ => ledger.tasks.give_up(),
        }
    });
}

/// To be called when no task that could run is left in the instance and no request in it.
pub(crate) fn settled<T: LedgerView>(mut store: StoreContextMut<'_, T>) {
    with_table(&mut store, |ledger, table| ledger.tasks.settled(table));
}

/// Whom the running guest code works for. Right only synchronously in an import call.
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

/// The tasks from the running one to its root, as far as they were looked at.
struct Stack {
    numbers: [Number; MAX_DEPTH],
    length: usize,
    /// Each id has a number.
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

    /// The numbers, youngest first; none if they cannot be read or are so many that they may go round
    /// in a circle.
    fn numbers(&self) -> Option<&[Number]> {
        (self.readable && self.length < MAX_DEPTH).then(|| &self.numbers[..self.length])
    }
}
