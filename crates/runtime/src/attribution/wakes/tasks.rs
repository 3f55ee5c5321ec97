use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use headwater_core::{Doubt, RequestScope};
use rustc_hash::FxBuildHasher;

use super::super::requests::MOST_NAMED;
use super::super::verdict::InDoubt;
use crate::limits;

/// A task: its part of a composed component, and the name that its runtime gives it there. Names are
/// reused after a task has ended.
pub(super) type Task = (usize, u32);

/// A stream, a future, or anything else that can be waited for: a part, and the handle in its table.
type Waitable = (usize, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Starts,
    GoesOn,
    /// It returns to the host, to be called back later.
    Pauses,
    /// It makes a stream or future without payload.
    Creates {
        readable: u32,
        writable: u32,
    },
    /// It writes to one.
    Writes {
        writable: u32,
    },
    /// It puts a waitable into a set, or, if the set is zero, takes it out of all.
    Joins {
        waitable: u32,
        set: u32,
    },
}

/// The maximum number of streams, and of things waited for, that are recorded: as many as an instance may
/// have.
const MOST_KEPT: usize = limits::MAX_TASKS;

/// The maximum number of started requests without an observed task. Usually few: as many as an instance
/// has.
const MOST_UNHEARD: usize = 1_024;

const UNTOLD: InDoubt = InDoubt {
    reason: Doubt::Woken,
    others: Vec::new(),
};

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// The tasks of an instance, by their actions.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// The last active task of each part.
    active: Vec<Active>,
    /// The streams and futures without payload, by the writable end. Handles are reused, so there are at
    /// most as many as a part has at once. The same is true of `waits`.
    signals: Map<Waitable, Signal>,
    /// The current or last waiting task of each waitable.
    waits: Map<Waitable, Wait>,
    tasks: Map<Task, Activity>,
    /// Tasks that have paused and wait only to be woken.
    asleep: Vec<Task>,
    /// Requests whose task was not observed yet, in the order of their starts.
    unheard: VecDeque<Arc<RequestScope>>,
    /// The first task that was marked, and all that caused a mark.
    marked: Option<InDoubt>,
    /// True if the notes are inconsistent: all tasks are in doubt.
    lost: bool,
}

/// The active task of a part, or the last one.
#[derive(Debug, Default, Clone, Copy)]
struct Active {
    name: u32,
    /// True if it has paused. Otherwise it has ended once another is active.
    paused: bool,
}

/// A stream or a future without payload.
#[derive(Debug, Clone, Copy)]
struct Signal {
    creator: Task,
    readable: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    task: Task,
    /// True if it still waits.
    lasts: bool,
}

#[derive(Debug, Default)]
struct Activity {
    request: Option<Arc<RequestScope>>,
    /// Its own end that it last made to be woken by.
    wake_up: Option<Waitable>,
    /// The number of other things that it waits for.
    others: u32,
    paused: bool,
    /// The reason for a permanent doubt, and the requests that caused it.
    mark: Option<InDoubt>,
}

impl Activity {
    fn is_asleep(&self) -> bool {
        self.paused && self.others == 0
    }
}

impl Tasks {
    pub(super) fn request_starts(&mut self, request: &Arc<RequestScope>) {
        if self.lost {
            return;
        }
        if self.unheard.len() < MOST_UNHEARD {
            self.unheard.push_back(request.clone());
        } else {
            self.lose();
        }
    }

    /// Distrusts everything from now on.
    pub(super) fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Records an action of a task, after all earlier actions of others.
    pub(super) fn happened(&mut self, task: Task, event: Event) {
        if self.lost {
            return;
        }
        self.becomes_active(task);
        match event {
            Event::Starts => {
                let fresh = Activity {
                    request: self.unheard.pop_front(),
                    ..Activity::default()
                };
                if let Some(before) = self.tasks.insert(task, fresh)
                    && before.is_asleep()
                {
                    self.awakes(task);
                }
            }
            Event::GoesOn => {
                self.goes_on(task);
            }
            Event::Pauses => {
                let activity = self.goes_on(task);
                activity.paused = true;
                if activity.is_asleep() {
                    self.asleep.push(task);
                }
                self.active[task.0].paused = true;
            }
            Event::Creates { readable, writable } => self.creates(task, readable, writable),
            Event::Writes { writable } => self.writes(task, writable),
            Event::Joins { waitable, set: 0 } => self.leaves(task, (task.0, waitable)),
            Event::Joins { waitable, .. } => self.joins(task, (task.0, waitable)),
        }
    }

    /// Returns the reason why the active task of the first part, one of `own`, may be doing another's
    /// work.
    pub(super) fn doubt_of_active(&mut self, own: &Arc<RequestScope>) -> Option<InDoubt> {
        let active = self.active.first().copied().unwrap_or_default();
        if let Some(activity) = self.tasks.get_mut(&(0, active.name)) {
            let known = activity.request.get_or_insert_with(|| own.clone());
            if known.id() != own.id() {
                // It called before it reported that it continues.
                return Some(UNTOLD);
            }
            if let Some(mark) = &activity.mark {
                return Some(mark.clone());
            }
        }
        self.awaited(own)
    }

    /// Returns the reason why a task of `own`, in any part, may be doing another's work.
    pub(super) fn doubt_of_any(&self, own: &Arc<RequestScope>) -> Option<InDoubt> {
        let Some(InDoubt { reason, others }) = &self.marked else {
            return self.awaited(own);
        };
        let others = others.iter().filter(|other| other.id() != own.id());
        Some(InDoubt {
            reason: *reason,
            others: others.cloned().collect(),
        })
    }

    /// Returns a doubt if a task waits only to be woken.
    fn awaited(&self, own: &Arc<RequestScope>) -> Option<InDoubt> {
        if self.lost {
            return Some(UNTOLD);
        }
        let mut doubt = None;
        for task in &self.asleep {
            let request = self.tasks.get(task).and_then(|task| task.request.as_ref());
            if request.is_some_and(|request| request.id() == own.id()) {
                continue;
            }
            let doubt = doubt.get_or_insert(InDoubt {
                reason: Doubt::Awaited,
                others: Vec::new(),
            });
            if let Some(request) = request {
                add(&mut doubt.others, request);
            }
        }
        doubt
    }

    /// Sets the active task. The previous one has ended if it has not paused.
    fn becomes_active(&mut self, (part, name): Task) {
        if self.active.len() <= part {
            self.active.resize(part + 1, Active::default());
        }
        let paused = false;
        let before = std::mem::replace(&mut self.active[part], Active { name, paused });
        if before.name != name && !before.paused {
            self.tasks.remove(&(part, before.name));
        }
    }

    fn goes_on(&mut self, task: Task) -> &mut Activity {
        let activity = self.tasks.entry(task).or_default();
        if activity.is_asleep()
            && let Some(place) = self.asleep.iter().position(|&asleep| asleep == task)
        {
            self.asleep.swap_remove(place);
        }
        activity.paused = false;
        activity
    }

    fn awakes(&mut self, task: Task) {
        self.asleep.retain(|&asleep| asleep != task);
    }

    fn creates(&mut self, task: Task, readable: u32, writable: u32) {
        if self.signals.len().max(self.waits.len()) >= MOST_KEPT {
            return self.lose();
        }
        let part = task.0;
        let signal = Signal {
            creator: task,
            readable,
        };
        self.signals.insert((part, writable), signal);
        self.waits.remove(&(part, readable));
        self.goes_on(task).wake_up = Some((part, readable));
    }

    fn writes(&mut self, task: Task, writable: u32) {
        self.goes_on(task);
        let Some(signal) = self.signals.get(&(task.0, writable)) else {
            return;
        };
        let waits = self.waits.get(&(task.0, signal.readable));
        let sleeper = waits.map_or(signal.creator, |wait| wait.task);
        if sleeper != task {
            self.mark(sleeper, Doubt::Woken, task);
            // It may have done, unseen, the work that the other waits for.
            self.mark(task, Doubt::Woken, sleeper);
        }
    }

    fn joins(&mut self, task: Task, waitable: Waitable) {
        if self.waits.len() >= MOST_KEPT {
            return self.lose();
        }
        let now = Wait { task, lasts: true };
        if let Some(before) = self.waits.insert(waitable, now) {
            self.waits_less(before, waitable);
            if before.task != task {
                self.mark(task, Doubt::TakenOver, before.task);
            }
        }
        let activity = self.goes_on(task);
        if activity.wake_up != Some(waitable) {
            activity.others += 1;
        }
    }

    fn leaves(&mut self, task: Task, waitable: Waitable) {
        self.goes_on(task);
        let Some(wait) = self.waits.get(&waitable).copied() else {
            return;
        };
        if wait.task == task {
            self.waits.remove(&waitable);
        } else {
            // Keeps the waiting task for the next waiter.
            let lasts = false;
            self.waits.insert(waitable, Wait { lasts, ..wait });
        }
        self.waits_less(wait, waitable);
    }

    fn waits_less(&mut self, wait: Wait, waitable: Waitable) {
        let Some(activity) = self.tasks.get_mut(&wait.task) else {
            return;
        };
        if !wait.lasts || activity.wake_up == Some(waitable) || activity.others == 0 {
            return;
        }
        activity.others -= 1;
        if activity.paused && activity.others == 0 {
            self.asleep.push(wait.task);
        }
    }

    /// Marks a task. Its first doubt stays, and later causes are added. A task that has ended does
    /// nothing more.
    fn mark(&mut self, task: Task, reason: Doubt, by: Task) {
        let by = self.tasks.get(&by).and_then(|by| by.request.clone());
        let Some(activity) = self.tasks.get_mut(&task) else {
            return;
        };
        for mark in [&mut activity.mark, &mut self.marked] {
            let mark = mark.get_or_insert(InDoubt {
                reason,
                others: Vec::new(),
            });
            if let Some(by) = &by {
                add(&mut mark.others, by);
            }
        }
    }
}

/// Keeps the latest of many, preferring those that are not over.
fn add(others: &mut Vec<Arc<RequestScope>>, other: &Arc<RequestScope>) {
    if others.iter().any(|named| named.id() == other.id()) {
        return;
    }
    if others.len() == MOST_NAMED {
        let over = others.iter().position(|named| named.is_over());
        others.remove(over.unwrap_or(0));
    }
    others.push(other.clone());
}

#[cfg(test)]
mod tests;
