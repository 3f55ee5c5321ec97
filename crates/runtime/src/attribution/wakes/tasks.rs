use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use headwater_core::{Doubt, RequestScope};
use rustc_hash::FxBuildHasher;

use super::super::requests::MOST_NAMED;
use super::super::verdict::InDoubt;
use crate::limits;

/// A task: the part of a composed component that it is of, and what its runtime calls it there. Another
/// has the same name when it has ended.
pub(super) type Task = (usize, u32);

/// A stream, a future, or whatever else can be waited for: a part, and the handle in its table.
type Waitable = (usize, u32);

/// What a task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It is a new one.
    Starts,
    /// It was called back.
    GoesOn,
    /// It returns to the host, to be called back.
    Pauses,
    /// It made a stream or future without payload.
    Creates {
        /// The handle of the end that is read.
        readable: u32,
        /// The handle of the end that is written to.
        writable: u32,
    },
    /// It wrote to one.
    Writes {
        /// The handle of that end.
        writable: u32,
    },
    /// It put a waitable into a set, or, if that is zero, took it out of all.
    Joins {
        /// The waitable's handle.
        waitable: u32,
        /// The set's.
        set: u32,
    },
}

/// How many streams, and how much that is waited for, is kept at most: as many as an instance may have.
const MOST_KEPT: usize = limits::MAX_TASKS;

/// How many requests may have started whose tasks were not heard of. Few are: as many as an instance has.
const MOST_UNHEARD: usize = 1_024;

/// What is not known is doubted.
const UNTOLD: InDoubt = InDoubt {
    reason: Doubt::Woken,
    others: Vec::new(),
};

type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// The tasks of an instance, by what they did.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// What was active last in each part.
    active: Vec<Active>,
    /// The streams and futures without payload, by the end that is written to. Handles are used again,
    /// so there are as many as a part has at once at most. So it is with what is waited for.
    signals: Map<Waitable, Signal>,
    /// Who waits for what, or was the last to.
    waits: Map<Waitable, Wait>,
    tasks: Map<Task, Activity>,
    /// Those that have paused and wait for nothing but to be woken.
    asleep: Vec<Task>,
    /// Requests whose task has not been heard of, the first started first.
    unheard: VecDeque<Arc<RequestScope>>,
    /// The first task that was marked, and all because of whom any was.
    marked: Option<InDoubt>,
    /// What was heard does not go together: all are in doubt.
    lost: bool,
}

/// A task that is active, or was last.
#[derive(Debug, Default, Clone, Copy)]
struct Active {
    name: u32,
    /// Whether it has paused: it has ended otherwise, once another is active.
    paused: bool,
}

/// A stream or a future without payload.
#[derive(Debug, Clone, Copy)]
struct Signal {
    creator: Task,
    /// The handle of the end that is read.
    readable: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    task: Task,
    /// Whether it does still.
    lasts: bool,
}

/// What a task does.
#[derive(Debug, Default)]
struct Activity {
    /// Whose task it is.
    request: Option<Arc<RequestScope>>,
    /// The end of its own that it last made to be woken by.
    wake_up: Option<Waitable>,
    /// How much else it waits for.
    others: u32,
    paused: bool,
    /// Why it is in doubt for good, and because of whom.
    mark: Option<InDoubt>,
}

impl Activity {
    /// Whether it has paused and waits for nothing but to be woken.
    fn is_asleep(&self) -> bool {
        self.paused && self.others == 0
    }
}

impl Tasks {
    /// A request starts, in a task that is not one of those known.
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

    /// Takes nothing for certain any more.
    pub(super) fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// A task did something; all that others did before is known.
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

    /// Why the active task of the first part, which is one of `own`, may be doing another's work.
    pub(super) fn doubt_of_active(&mut self, own: &Arc<RequestScope>) -> Option<InDoubt> {
        let active = self.active.first().copied().unwrap_or_default();
        if let Some(activity) = self.tasks.get_mut(&(0, active.name)) {
            let known = activity.request.get_or_insert_with(|| own.clone());
            if known.id() != own.id() {
                // It called before it said that it goes on.
                return Some(UNTOLD);
            }
            if let Some(mark) = &activity.mark {
                return Some(mark.clone());
            }
        }
        self.awaited(own)
    }

    /// Why a task of `own`, of whichever part, may be doing another's work.
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

    /// Whether somebody waits for nothing but to be woken.
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

    /// The one before has ended, if it has not paused.
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
            // It may have done the work that the other waits for, unseen.
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
            // Whose it was is remembered, for what comes next.
            let lasts = false;
            self.waits.insert(waitable, Wait { lasts, ..wait });
        }
        self.waits_less(wait, waitable);
    }

    /// A task that waited for this does no longer.
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

    /// The first doubt of a task stays; those whom it is because of are added. One that has ended does
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

/// Of many the last are kept, and of these rather those that are not over.
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
