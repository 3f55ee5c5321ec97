//! Detects tasks of an instance that may be doing another request's work.
//!
//! The call stack names the calling task, but not the request of its work if a guest's runtime gives work from one task
//! to another: to a worker, a pool, the poller of a shared future. The signs of this that are visible at the boundary
//! are collected here. Each is a [`Doubt`] about the task's call stack, and never names the request that a call is made
//! for (`docs/decisions/0013-doubt.md`).
//!
//! # The mechanism
//!
//! A sleeping task must be woken, and a guest of the component model can wake one only by means of the host.
//! `wit-bindgen`'s runtime for Rust does so, if its feature `inter-task-wakeup` is on, by a stream without payload: the
//! sleeping task holds the readable end, and all others may write to the other end. Without such streams (or futures)
//! the tasks of a guest cannot wake one another, and there is no doubt. Most guests have none, and are left unchanged.
//!
//! # The observation
//!
//! The others are [rewritten](instrument) when they are loaded: shims around a few built-ins write notes to a memory of
//! their own ([`page`]), and the host reads it when it needs a doubt. Calling the host each time would take twenty
//! times as long. The notes record
//!
//! - when a task starts, pauses and continues: by the context that the runtime keeps for each task, which is null while
//!   the task is active. At other times the context identifies the task;
//! - the creation of a stream or future without payload, and writes to one;
//! - the things that a task waits for: each waitable that is put into a set, or taken out.
//!
//! # The doubts
//!
//! | doubt | of the calls of a task |
//! | --- | --- |
//! | woken | after another has written to a stream that it slept on, or it to one that another slept on |
//! | taken over | after it waited for what another had waited for |
//! | awaited | while another has paused and waits only to be woken: some task must be doing its work, maybe this one |
//! | outlived | after the answer to its request is over, while others in the instance are being answered |
//!
//! The first two stay with a task: work that began because of a wake-up cannot be told from earlier work. The third
//! exists because not each wake-up is seen: a task that has yielded to others without sleeping finds work in its queue
//! that was pushed meanwhile, and the executors of Rust often yield before they sleep. The last is decided by
//! [`Roots`](super::Roots).
//!
//! In a composed component the part whose task calls is not known. There a doubt about one task is one about all.
//!
//! # The limits
//!
//! A task that gets work while it is awake, from a task that also waits for something of its own meanwhile, leaves no
//! sign until it wakes that one. Nor does a guest that wakes its tasks by other means.

pub(crate) mod instrument;
mod linked;
mod page;
mod tasks;

use std::sync::Arc;

use headwater_core::RequestScope;
use wasmtime::StoreContext;
use wasmtime::component::WasmList;

pub(crate) use self::linked::add_to_linker;
use self::page::Page;
use self::tasks::Tasks;
use super::verdict::InDoubt;

/// The recorded actions of an instance's tasks.
pub(crate) struct Wakes {
    of: Of,
    pages: Vec<Page>,
    tasks: Tasks,
}

/// The tasks that doubts apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The active task: in a component that is not composed.
    ActiveTask,
    AnyTask,
}

impl Wakes {
    pub(super) fn new(of: Of) -> Self {
        Self {
            of,
            pages: Vec::new(),
            tasks: Tasks::default(),
        }
    }

    fn add(&mut self, words: WasmList<u32>) {
        self.pages.push(Page::new(words));
    }

    /// Reads the notes written since the last time.
    pub(super) fn read<T: 'static>(&mut self, store: StoreContext<'_, T>) {
        for (part, page) in self.pages.iter_mut().enumerate() {
            page.read(&store, part, &mut self.tasks);
        }
    }

    /// Records the start of a request in a new task. Tasks of a composed component may be any request's.
    pub(super) fn request_starts(&mut self, request: &Arc<RequestScope>) {
        if self.of == Of::ActiveTask {
            self.tasks.request_starts(request);
        }
    }

    /// Returns the reason why the calling task, one of `own`, may be doing another's work, once all notes are
    /// [read](Self::read).
    pub(super) fn doubt(&mut self, own: &Arc<RequestScope>) -> Option<InDoubt> {
        match self.of {
            Of::ActiveTask => self.tasks.doubt_of_active(own),
            Of::AnyTask => self.tasks.doubt_of_any(own),
        }
    }
}

#[cfg(test)]
mod tests;
