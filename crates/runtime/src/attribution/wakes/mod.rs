//! Which tasks of an instance may be doing another request's work.
//!
//! The call stack says whose task calls. That is not whose work it does, where a guest's runtime gives
//! work from one task to another: to a worker, a pool, whoever polls a shared future. What can be known
//! of that at the boundary is known here, and is a [`Doubt`] of the task's call stack. It is never the
//! name of another request: nothing here says whom a call is made for.
//!
//! # Who can do it
//!
//! A task that sleeps must be woken, and a guest of the component model can wake one only by what the
//! host provides. `wit-bindgen`'s runtime for Rust does it, if its feature `inter-task-wakeup` is on, by
//! a stream without payload, of which the one that sleeps holds the readable end and all others may write
//! to the other. Without such streams (or futures) the tasks of a guest wake one another by nothing, and
//! there is no doubt. So it is with most guests; they are left as they are. The others are
//! [rewritten](instrument) when they are loaded, so that the host hears of
//!
//! - a stream or future without payload that is **created**, and one that is **written** to;
//! - what a task waits for: each **join** of a waitable to a set, or out of it;
//! - when a task **pauses**: by the context that the runtime keeps for each task, which is null while the
//!   task is active, and set when it pauses. That it goes on shows by what else is heard of it.
//!
//! # What is doubted
//!
//! | doubt | of the calls of a request's tasks |
//! | --- | --- |
//! | woken | after a task of another request has written to a stream that one of them slept on, or one of them to a stream that a task of another slept on |
//! | taken over | after one of them waited for what a task of another request had waited for |
//! | awaited | while a task of another request has paused and waits for nothing but to be woken: somebody must be doing its work, and it may be any |
//! | outlived | after the request's answer is over, while others in the instance are being answered |
//!
//! The first two stay with a request: what was begun because of a wake-up cannot be told from what was
//! begun before. The third is there because not each wake-up is seen: a task that has given way to
//! others, and is not asleep, finds in its queue what was pushed meanwhile; and the executors of Rust
//! give way often before they sleep. The last is decided by [`Roots`](super::Roots).
//!
//! # Where this ends
//!
//! A task that is given work while it is awake, by a task that meanwhile waits for something of its own
//! too, leaves no mark until it wakes that one. Nor does a guest that wakes by something else than the above.

pub(crate) mod instrument;
mod linked;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use headwater_core::{Doubt, RequestId, RequestScope};
use rustc_hash::FxBuildHasher;

pub(crate) use self::linked::add_to_linker;
use super::requests::MOST_NAMED;
use super::verdict::InDoubt;
use crate::limits;

/// How many streams, and how much that is waited for, is kept at most: as many as an instance may have.
const MOST_KEPT: usize = limits::MAX_TASKS;

/// How many tasks and marks are worth a look for those that are over.
const MANY: usize = 64;

/// A stream, a future, or whatever else can be waited for: the part of a composed component whose table
/// it is in, and its handle there.
type Waitable = (u32, u32);

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// What was heard of the tasks of one instance.
#[derive(Debug)]
pub(crate) struct Wakes<Task> {
    /// How many parts have asked for a number.
    parts: u32,
    /// The streams and futures without payload, by the end that is written to. Handles are used again,
    /// so there are as many as a part has at once at most. So it is with those below.
    signals: Map<Waitable, Signal<Task>>,
    /// Who waits for what, or was the last to.
    waits: Map<Waitable, Wait<Task>>,
    /// Entries of tasks that have ended stay until their number is that of another, or until there are
    /// many.
    tasks: Map<Task, Activity>,
    /// The tasks that have paused and wait for nothing but to be woken.
    asleep: Vec<Task>,
    /// The requests whose tasks are in doubt for good, and the last ones by whom.
    marks: Map<RequestId, InDoubt>,
    many: usize,
    /// There was more than is kept: all are in doubt.
    lost: bool,
}

/// A task that calls the host, and the request whose task it is.
#[derive(Debug)]
pub(crate) struct Running<'a, Task> {
    pub(crate) task: Task,
    pub(crate) request: &'a Arc<RequestScope>,
}

/// A stream or a future without payload.
#[derive(Debug, Clone, Copy)]
struct Signal<Task> {
    creator: Task,
    /// The handle of the end that is read.
    readable: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wait<Task> {
    task: Task,
    /// Whether it does still.
    lasts: bool,
}

/// What a task does.
#[derive(Debug)]
struct Activity {
    request: Arc<RequestScope>,
    /// The end of its own that it last made to be woken by.
    wake_up: Option<Waitable>,
    /// How much else it waits for.
    others: u32,
    /// It has, and was not heard of since.
    paused: bool,
}

impl<Task> Default for Wakes<Task> {
    fn default() -> Self {
        Self {
            parts: 0,
            signals: Map::default(),
            waits: Map::default(),
            tasks: Map::default(),
            asleep: Vec::new(),
            marks: Map::default(),
            many: MANY,
            lost: false,
        }
    }
}

impl<Task: Copy + Eq + Hash> Wakes<Task> {
    /// A number for a part of the component: whoever reports something says where.
    pub(crate) fn part(&mut self) -> u32 {
        self.parts = self.parts.wrapping_add(1);
        self.parts
    }

    /// `task` is a new one; what another of the same number has left behind is forgotten.
    pub(crate) fn task_starts(&mut self, task: Task) {
        if self.tasks.remove(&task).is_some() {
            self.wakes_up(task);
        }
    }

    /// A stream or future without payload was made.
    pub(crate) fn created(
        &mut self,
        by: &Running<'_, Task>,
        part: u32,
        readable: u32,
        writable: u32,
    ) {
        let signal = Signal {
            creator: by.task,
            readable,
        };
        self.lost |= self.signals.len().max(self.waits.len()) >= MOST_KEPT;
        if self.lost {
            return;
        }
        self.signals.insert((part, writable), signal);
        self.waits.remove(&(part, readable));
        self.goes_on(by).wake_up = Some((part, readable));
    }

    /// It was written to, and by whom, if that is known.
    pub(crate) fn written(&mut self, by: Option<&Running<'_, Task>>, part: u32, writable: u32) {
        let Some(signal) = self.signals.get(&(part, writable)) else {
            return;
        };
        let waits = self.waits.get(&(part, signal.readable));
        let sleeper = waits.map_or(signal.creator, |wait| wait.task);
        let Some(activity) = self.tasks.get(&sleeper) else {
            return;
        };
        let request = activity.request.clone();
        match by {
            Some(by) if by.request.id() == request.id() => {}
            by => {
                self.mark(&request, Doubt::Woken, by.map(|by| by.request));
                // It may have done the work that the other waits for, unseen.
                if let Some(by) = by {
                    self.mark(by.request, Doubt::Woken, Some(&request));
                }
            }
        }
    }

    /// A waitable was put into a set, or taken out of all.
    pub(crate) fn joined(&mut self, by: &Running<'_, Task>, part: u32, waitable: u32, set: u32) {
        let waitable = (part, waitable);
        self.goes_on(by);
        let before = self.waits.get(&waitable).copied();
        if set == 0 {
            match before {
                Some(wait) if wait.task == by.task => {
                    self.waits.remove(&waitable);
                    self.waits_less(wait, waitable);
                }
                // Whose it was is remembered, for what comes next.
                Some(wait) => {
                    let lasts = false;
                    self.waits.insert(waitable, Wait { lasts, ..wait });
                    self.waits_less(wait, waitable);
                }
                None => {}
            }
            return;
        }
        self.lost |= self.waits.len() >= MOST_KEPT;
        if self.lost {
            return;
        }
        let now = Wait {
            task: by.task,
            lasts: true,
        };
        self.waits.insert(waitable, now);
        if let Some(wait) = before {
            self.waits_less(wait, waitable);
            let other = self.tasks.get(&wait.task);
            let other = other.filter(|_| wait.task != by.task);
            if let Some(other) = other.map(|activity| activity.request.clone())
                && other.id() != by.request.id()
            {
                self.mark(by.request, Doubt::TakenOver, Some(&other));
            }
        }
        let activity = self.goes_on(by);
        if activity.wake_up != Some(waitable) {
            activity.others += 1;
        }
    }

    /// A task pauses.
    pub(crate) fn paused(&mut self, by: &Running<'_, Task>) {
        let activity = self.goes_on(by);
        activity.paused = true;
        if activity.others == 0 {
            self.asleep.push(by.task);
        }
    }

    /// Why the tasks of `request` may be doing another's work now, and whose, as far as that is known.
    /// `is_running` says of another task whether it has not ended.
    pub(crate) fn doubt(
        &self,
        request: RequestId,
        mut is_running: impl FnMut(Task) -> bool,
    ) -> Option<InDoubt> {
        if self.lost {
            return Some(InDoubt {
                reason: Doubt::Woken,
                others: Vec::new(),
            });
        }
        if let Some(mark) = self.marks.get(&request) {
            return Some(mark.clone());
        }
        let mut named: Vec<Arc<RequestScope>> = Vec::new();
        for task in &self.asleep {
            let Some(other) = self.tasks.get(task).map(|activity| &activity.request) else {
                continue;
            };
            if other.id() != request
                && named.len() < MOST_NAMED
                && !is_named(&named, other)
                && is_running(*task)
            {
                named.push(other.clone());
            }
        }
        (!named.is_empty()).then_some(InDoubt {
            reason: Doubt::Awaited,
            others: named,
        })
    }

    /// Whether there is so much that what is over should be [forgotten](Self::forget).
    pub(crate) fn are_many(&self) -> bool {
        self.marks.len().max(self.tasks.len()) >= self.many
    }

    /// Forgets the tasks that have ended, and what is noted of requests that do not live any more. The
    /// next look is worth it when there is twice as much as is left.
    pub(crate) fn forget(
        &mut self,
        lives: impl Fn(RequestId) -> bool,
        mut is_running: impl FnMut(Task) -> bool,
    ) {
        self.tasks.retain(|task, _| is_running(*task));
        let tasks = &self.tasks;
        self.asleep.retain(|task| tasks.contains_key(task));
        self.marks.retain(|request, _| lives(*request));
        self.many = MANY.max(2 * self.marks.len().max(self.tasks.len()));
    }

    /// A task is heard of, and so it is not asleep. In a composed component it may be a new one of an old
    /// number.
    fn goes_on(&mut self, by: &Running<'_, Task>) -> &mut Activity {
        self.wakes_up(by.task);
        let fresh = || Activity {
            request: by.request.clone(),
            wake_up: None,
            others: 0,
            paused: false,
        };
        let activity = self.tasks.entry(by.task).or_insert_with(fresh);
        if activity.request.id() != by.request.id() {
            *activity = fresh();
        }
        activity.paused = false;
        activity
    }

    /// A task that waited for this does no longer.
    fn waits_less(&mut self, wait: Wait<Task>, waitable: Waitable) {
        let Some(activity) = self.tasks.get_mut(&wait.task) else {
            return;
        };
        if !wait.lasts || activity.wake_up == Some(waitable) {
            return;
        }
        activity.others = activity.others.saturating_sub(1);
        if activity.paused && activity.others == 0 && !self.asleep.contains(&wait.task) {
            self.asleep.push(wait.task);
        }
    }

    fn wakes_up(&mut self, task: Task) {
        if let Some(place) = self.asleep.iter().position(|&asleep| asleep == task) {
            self.asleep.swap_remove(place);
        }
    }

    /// The first doubt of a request stays; those whom it is because of are added.
    fn mark(&mut self, request: &Arc<RequestScope>, reason: Doubt, by: Option<&Arc<RequestScope>>) {
        let mark = self.marks.entry(request.id()).or_insert_with(|| InDoubt {
            reason,
            others: Vec::new(),
        });
        let Some(by) = by else { return };
        if is_named(&mark.others, by) {
            return;
        }
        if mark.others.len() == MOST_NAMED {
            let over = mark.others.iter().position(|named| named.is_over());
            mark.others.remove(over.unwrap_or(0));
        }
        mark.others.push(by.clone());
    }
}

fn is_named(named: &[Arc<RequestScope>], scope: &Arc<RequestScope>) -> bool {
    named.iter().any(|named| named.id() == scope.id())
}

#[cfg(test)]
mod tests;
