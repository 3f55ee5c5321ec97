//! The declarations of an instance's tasks.
//!
//! A guest declares its request by entering a token of `headwater:attribution/scope`, and takes it
//! back by leaving. A declaration holds
//!
//! - for the task that entered it and no other: the youngest on the call stack. So it does not cover
//!   another task that runs between `enter` and `leave`; and
//! - until that task yields to the host. A guest that has yielded may return to do anything: an
//!   executor that was polled for one request and returned pending may next be polled for another,
//!   in the same task. (`tracing`'s guards have the same trap if held across an await.) The guest's
//!   library enters again at each poll.
//!
//! A declaration that is still entered after its task has yielded has *lapsed*. It no longer proves
//! anything, but if the call stack names another request it is a reason to doubt the stack.
//!
//! Yields are detected by turns: wasmtime's event loop polls the driver's future before each work
//! item, and between a task's entry into the guest and its return to the loop there is no other
//! item. (The exception is a synchronous task that yields, which nothing can affect meanwhile.)
//!
//! If several are entered at once, the innermost counts. They may be left in any order. If the
//! innermost names a request that is gone, the next one does not count: the guest said that it does
//! *not* work for that one now.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_core::ScopeKey;

/// The turns of one instance's event loop. Its driver counts one each time that it is polled: the
/// guest has yielded to the host, or may have.
///
/// Both are in one task; the number is kept outside of the store because reaching the store takes
/// longer than the counting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<AtomicU64>);

impl Turn {
    pub(crate) fn next(&self) {
        self.0.store(self.now() + 1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Declarations<Task> {
    turn: Turn,
    last: u64,
    by_task: HashMap<Task, Vec<Entry>>,
}

/// An entered declaration, for leaving it.
#[derive(Debug)]
pub(crate) struct Entered<Task> {
    /// None if it was entered outside of any task, where it has no effect.
    task: Option<Task>,
    number: u64,
}

/// The request that a task declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// This request; the task has not yielded since.
    Holds(ScopeKey),
    /// This request; the task has yielded since.
    Lapsed(ScopeKey),
}

#[derive(Debug)]
struct Entry {
    number: u64,
    turn: u64,
    request: ScopeKey,
}

impl<Task> Default for Declarations<Task> {
    fn default() -> Self {
        Self {
            turn: Turn::default(),
            last: 0,
            by_task: HashMap::new(),
        }
    }
}

impl<Task: Copy + Eq + Hash> Declarations<Task> {
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Starts a new task, and forgets the declarations of an earlier one with the same number.
    pub(crate) fn task_starts(&mut self, task: Task) {
        if !self.by_task.is_empty() {
            self.by_task.remove(&task);
        }
    }

    /// Returns true if no task has entered anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_task.is_empty()
    }

    pub(crate) fn enter(&mut self, task: Option<Task>, request: ScopeKey) -> Entered<Task> {
        self.last += 1;
        let number = self.last;
        if let Some(task) = task {
            self.by_task.entry(task).or_default().push(Entry {
                number,
                turn: self.turn.now(),
                request,
            });
        }
        Entered { task, number }
    }

    pub(crate) fn leave(&mut self, entered: Entered<Task>) {
        let Entered { task, number } = entered;
        let Some(task) = task else { return };
        let Some(entries) = self.by_task.get_mut(&task) else {
            // The task has ended, and its number was reused.
            return;
        };
        entries.retain(|entry| entry.number != number);
        if entries.is_empty() {
            self.by_task.remove(&task);
        }
    }

    pub(crate) fn of(&self, task: Task) -> Option<Declared> {
        let entries = self.by_task.get(&task)?;
        let now = self.turn.now();
        let fresh = entries.iter().rev().find(|entry| entry.turn == now);
        match fresh {
            Some(entry) => Some(Declared::Holds(entry.request)),
            None => entries.last().map(|entry| Declared::Lapsed(entry.request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u32 = 1;
    const OTHER: u32 = 2;

    fn id() -> ScopeKey {
        crate::testing::scope().key()
    }

    #[test]
    fn it_holds_for_the_task_that_entered_and_for_no_other() {
        let mut declarations = Declarations::default();
        let request = id();
        let entered = declarations.enter(Some(ONE), request);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(request)));
        assert_eq!(declarations.of(OTHER), None);
        declarations.leave(entered);
        assert_eq!(declarations.of(ONE), None);
        assert!(declarations.is_empty());
    }

    #[test]
    fn it_lapses_when_the_guest_yields_and_holds_again_when_it_is_entered_anew() {
        let mut declarations = Declarations::default();
        let request = id();
        let kept = declarations.enter(Some(ONE), request);
        declarations.turn().next();
        assert_eq!(declarations.of(ONE), Some(Declared::Lapsed(request)));
        assert_eq!(declarations.of(OTHER), None);
        let again = declarations.enter(Some(ONE), request);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(request)));
        declarations.leave(again);
        assert_eq!(declarations.of(ONE), Some(Declared::Lapsed(request)));
        declarations.leave(kept);
        assert_eq!(declarations.of(ONE), None);
    }

    #[test]
    fn the_innermost_counts_in_whatever_order_they_are_left() {
        let mut declarations = Declarations::default();
        let (a, b) = (id(), id());
        let outer = declarations.enter(Some(ONE), a);
        let inner = declarations.enter(Some(ONE), b);
        let again = declarations.enter(Some(ONE), b);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(b)));
        declarations.leave(outer);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(b)));
        declarations.leave(again);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(b)));
        declarations.leave(inner);
        assert_eq!(declarations.of(ONE), None);
    }

    #[test]
    fn what_was_entered_in_this_turn_counts_above_what_was_left_over() {
        let mut declarations = Declarations::default();
        let (a, b) = (id(), id());
        let _leaked = declarations.enter(Some(ONE), a);
        declarations.turn().next();
        let entered = declarations.enter(Some(ONE), b);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(b)));
        declarations.leave(entered);
        assert_eq!(declarations.of(ONE), Some(Declared::Lapsed(a)));
    }

    #[test]
    fn a_new_task_of_the_same_number_has_declared_nothing() {
        let mut declarations = Declarations::default();
        let leaked = declarations.enter(Some(ONE), id());
        declarations.task_starts(ONE);
        assert_eq!(declarations.of(ONE), None);
        let request = id();
        let _entered = declarations.enter(Some(ONE), request);
        declarations.leave(leaked);
        assert_eq!(declarations.of(ONE), Some(Declared::Holds(request)));
    }

    #[test]
    fn another_task_may_leave_and_outside_of_any_task_nothing_is_entered() {
        let mut declarations = Declarations::<u32>::default();
        let entered = declarations.enter(None, id());
        assert!(declarations.is_empty());
        declarations.leave(entered);
        let _here = declarations.enter(Some(ONE), id());
        let there = declarations.enter(Some(OTHER), id());
        // The declaration of the task that leaves does not matter.
        declarations.leave(there);
        assert!(declarations.of(ONE).is_some());
        assert_eq!(declarations.of(OTHER), None);
    }
}
