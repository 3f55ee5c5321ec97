//! The record of each task, by its number. Depends on wasmtime's table, but not on a store.

use std::any::TypeId;
use std::sync::Arc;

use headwater_core::RequestScope;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

use crate::attribution::number::Number;
use crate::attribution::verdict::StackEvidence;

/// The number of dead tasks without callees that are kept before a census, which walks the whole
/// table, looks for numbers to release.
pub(super) const SLACK: usize = 256;

/// The maximum number of recorded tasks: far more than the requests of an instance make, and a quarter
/// of the table's capacity.
pub(super) const MOST: usize = 8 << 10;

/// The number of later freed slots that are searched for a dead task's slot.
const DEEPEST: usize = 1 << 10;

/// The entry in the table that replaces a dead task. Zero-sized, so it takes no memory of its own.
struct Parked;

#[derive(Default)]
pub(super) struct Tasks {
    entries: Vec<Option<Entry>>,
    /// Tasks that were not seen to be dead.
    live: Vec<Number>,
    /// Dead tasks whose number is out of circulation.
    parked: Vec<Number>,
    requests: Requests,
    /// The type of wasmtime's tasks in its table.
    kind: Option<TypeId>,
    /// The number of parked tasks that starts the next census.
    next_census: usize,
    state: State,
}

#[derive(Clone, Copy)]
struct Entry {
    request: Request,
    /// The caller; none for a root.
    caller: Option<Number>,
    /// The number of recorded tasks that it called.
    callees: u32,
    parked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Exact(u32),
    Ambiguous,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Good,
    /// There are too many tasks; this was not reported yet.
    Outgrown,
    /// Something was not as expected. Nothing is known from then on.
    GivenUp,
}

impl Tasks {
    /// Returns a number without a record for the next task.
    pub(super) fn virgin(&mut self, table: &mut ResourceTable) -> Option<Number> {
        if self.state != State::Good {
            return None;
        }
        loop {
            let number = match table.push(Parked) {
                Ok(parked) => parked.rep(),
                Err(_full) => return None,
            };
            if self.entry(number).is_none() {
                return unpark(table, number).ok().map(|()| number);
            }
            // It was free: its task has died unseen.
            self.bury(number);
        }
    }

    /// Records the root task of a request. If the number already has a record, it becomes ambiguous.
    pub(super) fn root(
        &mut self,
        table: &mut ResourceTable,
        number: Number,
        scope: Arc<RequestScope>,
    ) {
        if self.state != State::Good {
            return;
        }
        let Ok(kind) = table.get_any_mut(number).map(|task| (*task).type_id()) else {
            return self.give_up();
        };
        if *self.kind.get_or_insert(kind) != kind {
            return self.give_up();
        }
        if self.entry(number).is_some() {
            return self.downgrade(number);
        }
        let request = self.requests.add(scope);
        self.insert(number, Request::Exact(request), None);
    }

    pub(super) fn entered(&mut self, task: Number, caller: Option<Number>) {
        if self.state != State::Good {
            return;
        }
        match (self.entry(task), caller) {
            (Some(_), _) => self.check(task, caller),
            // Not a request's: the instance is being set up.
            (None, None) => {}
            (None, Some(caller)) => self.born(task, caller),
        }
    }

    /// Records the tasks on the stack, youngest first, when all without a record were called
    /// synchronously.
    pub(super) fn called_synchronously(&mut self, stack: &[Number]) {
        if self.state != State::Good {
            return;
        }
        let known = stack.iter().position(|&task| self.entry(task).is_some());
        match known {
            // The instance is being set up.
            None => {}
            Some(0) => self.check(stack[0], stack.get(1).copied()),
            Some(known) => {
                for pair in stack[..=known].windows(2).rev() {
                    self.born(pair[0], pair[1]);
                }
            }
        }
    }

    fn born(&mut self, task: Number, caller: Number) {
        // A caller without a record was born unseen, and may be any task.
        let request = self
            .entry(caller)
            .map_or(Request::Ambiguous, |caller| caller.request);
        if let Request::Exact(request) = request {
            self.requests.take(request);
        }
        self.insert(task, request, Some(caller));
    }

    /// Compares a task's record with its observed caller.
    fn check(&mut self, task: Number, caller: Option<Number>) {
        let Some(entry) = self.entry(task) else {
            return;
        };
        let agrees = match (entry.caller, caller) {
            (None, None) => true,
            (Some(written), Some(seen)) => {
                written == seen
                    && self
                        .entry(seen)
                        .is_some_and(|caller| caller.request == entry.request)
            }
            // No task runs under a parked number: something is completed in a dead task's name.
            (Some(_), None) => entry.parked,
            (None, Some(_)) => false,
        };
        if !agrees {
            self.downgrade(task);
        }
    }

    /// Returns the evidence of a stack, youngest first, for its first task.
    pub(super) fn evidence(&self, stack: &[Number]) -> StackEvidence {
        if stack.is_empty() {
            return StackEvidence::None;
        }
        if self.state != State::Good {
            return StackEvidence::Unsound;
        }
        if stack.iter().all(|&task| self.entry(task).is_none()) {
            return StackEvidence::None;
        }
        match self.agreed(stack) {
            Some(scope) => StackEvidence::Sound(scope.clone()),
            None => StackEvidence::Unsound,
        }
    }

    /// Returns the request that all tasks on the stack work for, if each was called by the next.
    fn agreed(&self, stack: &[Number]) -> Option<&Arc<RequestScope>> {
        let first = self.entry(*stack.first()?)?.request;
        for (nth, &task) in stack.iter().enumerate() {
            let entry = self.entry(task)?;
            let next = stack.get(nth + 1).copied();
            // Beyond a dead caller nothing can be seen.
            if entry.request != first || (next.is_some() && entry.caller != next) {
                return None;
            }
        }
        match first {
            Request::Exact(request) => self.requests.get(request),
            Request::Ambiguous => None,
        }
    }

    pub(super) fn checkpoint(&mut self, table: &mut ResourceTable) {
        if self.state != State::Good {
            return;
        }
        // A slot that holds something else by now counts when that is gone.
        let mut dead: Vec<Number> = Vec::new();
        self.live.retain(|&task| {
            let lives = table.get_any_mut(task).is_ok();
            if !lives {
                dead.push(task);
            }
            lives
        });
        if dead.is_empty() {
            return;
        }
        if self.park(table, dead).is_err() {
            return self.give_up();
        }
        if self.parked.len() > self.next_census.max(SLACK) {
            self.census(table);
        }
    }

    /// Takes the slots of dead tasks, which are among the last freed. Others that come first are
    /// released in their previous order.
    fn park(
        &mut self,
        table: &mut ResourceTable,
        mut dead: Vec<Number>,
    ) -> Result<(), ResourceTableError> {
        let mut others = Vec::new();
        while !dead.is_empty() && others.len() < DEEPEST {
            let number = table.push(Parked)?.rep();
            match dead.iter().position(|&task| task == number) {
                Some(found) => {
                    dead.swap_remove(found);
                    if let Some(entry) = self.entry_mut(number) {
                        entry.parked = true;
                    }
                    self.parked.push(number);
                }
                None => others.push(number),
            }
        }
        for number in others.into_iter().rev() {
            unpark(table, number)?;
        }
        // Deeper ones are searched again later.
        self.live.append(&mut dead);
        Ok(())
    }

    /// Records that a task thought to be alive is dead, and its number reused.
    fn bury(&mut self, number: Number) {
        self.live.retain(|&task| task != number);
        if let Some(entry) = self.entry_mut(number) {
            entry.parked = true;
            self.parked.push(number);
        }
    }

    /// Releases the numbers that nothing refers to, if every task has a record: one without could have
    /// been called by any of them.
    fn census(&mut self, table: &mut ResourceTable) {
        let Some(kind) = self.kind else { return };
        let all = table.iter_mut().filter(|entry| (**entry).type_id() == kind);
        let all = all.count();
        let known = self.live.iter().filter(|&&task| is(table, task, kind));
        if all == known.count() && self.release(table).is_err() {
            return self.give_up();
        }
        self.next_census = self.parked.len() + self.parked.len() / 2 + SLACK;
    }

    fn release(&mut self, table: &mut ResourceTable) -> Result<(), ResourceTableError> {
        let mut free: Vec<Number> = Vec::new();
        for &number in &self.parked {
            if self.entry(number).is_some_and(|entry| entry.callees == 0) {
                free.push(number);
            }
        }
        while let Some(number) = free.pop() {
            unpark(table, number)?;
            let caller = self.remove(number);
            // It may have been kept for this one alone.
            if let Some(caller) = caller
                && let Some(entry) = self.entry_mut(caller)
            {
                entry.callees = entry.callees.saturating_sub(1);
                if entry.callees == 0 && entry.parked {
                    free.push(caller);
                }
            }
        }
        let entries = &self.entries;
        self.parked.retain(|&number| get(entries, number).is_some());
        Ok(())
    }

    /// Releases all dead tasks: no task can run any more, so nothing refers to them. Those still in
    /// the table wait to be dropped; if one is then mistaken for another, that other is ambiguous.
    pub(super) fn settled(&mut self, table: &mut ResourceTable) {
        if self.live.is_empty() && self.parked.is_empty() {
            return;
        }
        for number in std::mem::take(&mut self.parked) {
            if unpark(table, number).is_err() {
                return self.give_up();
            }
            self.remove(number);
        }
        for number in std::mem::take(&mut self.live) {
            if table.get_any_mut(number).is_ok() {
                self.downgrade(number);
                if let Some(entry) = self.entry_mut(number) {
                    entry.callees = 0;
                }
                self.live.push(number);
            } else {
                self.remove(number);
            }
        }
        self.next_census = 0;
    }

    /// Distrusts everything from here on. Parked numbers stay parked, which is always safe.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            state: State::GivenUp,
            ..Self::default()
        };
    }

    /// Returns true, once, if there are more tasks than can be recorded.
    pub(super) fn outgrown(&mut self) -> bool {
        let outgrown = self.state == State::Outgrown;
        if outgrown {
            self.give_up();
        }
        outgrown
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.live.len() + self.parked.len()
    }

    fn entry(&self, number: Number) -> Option<&Entry> {
        get(&self.entries, number)
    }

    fn entry_mut(&mut self, number: Number) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    fn insert(&mut self, number: Number, request: Request, caller: Option<Number>) {
        if self.live.len() + self.parked.len() >= MOST {
            self.state = State::Outgrown;
            return;
        }
        let index = number as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
        }
        self.entries[index] = Some(Entry {
            request,
            caller,
            callees: 0,
            parked: false,
        });
        self.live.push(number);
        if let Some(caller) = caller
            && let Some(caller) = self.entry_mut(caller)
        {
            caller.callees += 1;
        }
    }

    /// Removes a task and returns its caller.
    fn remove(&mut self, number: Number) -> Option<Number> {
        let entry = self.entries.get_mut(number as usize)?.take()?;
        if let Request::Exact(request) = entry.request {
            self.requests.give_back(request);
        }
        entry.caller
    }

    fn downgrade(&mut self, number: Number) {
        let Some(entry) = self.entry_mut(number) else {
            return;
        };
        if let Request::Exact(request) = std::mem::replace(&mut entry.request, Request::Ambiguous) {
            self.requests.give_back(request);
        }
    }
}

fn get(entries: &[Option<Entry>], number: Number) -> Option<&Entry> {
    entries.get(number as usize)?.as_ref()
}

fn is(table: &mut ResourceTable, number: Number, kind: TypeId) -> bool {
    table
        .get_any_mut(number)
        .is_ok_and(|entry| (*entry).type_id() == kind)
}

fn unpark(table: &mut ResourceTable, number: Number) -> Result<(), ResourceTableError> {
    table.delete(Resource::<Parked>::new_own(number)).map(drop)
}

/// The requests that tasks work for, each with the number of these tasks.
#[derive(Default)]
struct Requests {
    places: Vec<(Option<Arc<RequestScope>>, u32)>,
    free: Vec<u32>,
}

impl Requests {
    /// Adds a request that one task works for, and returns its index.
    fn add(&mut self, scope: Arc<RequestScope>) -> u32 {
        if let Some(free) = self.free.pop()
            && let Some(place) = self.places.get_mut(free as usize)
        {
            *place = (Some(scope), 1);
            return free;
        }
        self.places.push((Some(scope), 1));
        // There are at most as many as tasks.
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    fn get(&self, place: u32) -> Option<&Arc<RequestScope>> {
        self.places.get(place as usize)?.0.as_ref()
    }

    fn take(&mut self, place: u32) {
        if let Some((_, tasks)) = self.places.get_mut(place as usize) {
            *tasks += 1;
        }
    }

    fn give_back(&mut self, place: u32) {
        if let Some((scope, tasks)) = self.places.get_mut(place as usize) {
            *tasks = tasks.saturating_sub(1);
            if *tasks == 0 && scope.take().is_some() {
                self.free.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
