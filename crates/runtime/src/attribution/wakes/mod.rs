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
//! there is no doubt. So it is with most guests; they are left as they are.
//!
//! # How it is heard
//!
//! The others are [rewritten](instrument) when they are loaded: shims around a few built-ins write down
//! what happens, in a memory of their own ([`page`]), and the host reads it when it is asked for a
//! doubt. To call the host each time would take twenty times as long. Written down is
//!
//! - when a task starts, pauses and goes on: by the context that the runtime keeps for each task, which is
//!   null while the task is active. What the context is at other times tells tasks from one another;
//! - a stream or future without payload that is created, and one that is written to;
//! - what a task waits for: each waitable that is put into a set, or taken out.
//!
//! # What is doubted
//!
//! | doubt | of the calls of a task |
//! | --- | --- |
//! | woken | after another has written to a stream that it slept on, or it to one that another slept on |
//! | taken over | after it waited for what another had waited for |
//! | awaited | while another has paused and waits for nothing but to be woken: somebody must be doing its work, and it may be any |
//! | outlived | after the answer to its request is over, while others in the instance are being answered |
//!
//! The first two stay with a task: what was begun because of a wake-up cannot be told from what was
//! begun before. The third is there because not each wake-up is seen: a task that has given way to
//! others, and is not asleep, finds in its queue what was pushed meanwhile; and the executors of Rust
//! give way often before they sleep. The last is decided by [`Roots`](super::Roots).
//!
//! In a composed component it is not known which of its parts' tasks calls. There a doubt of one task is
//! one of all.
//!
//! # Where this ends
//!
//! A task that is given work while it is awake, by a task that meanwhile waits for something of its own
//! too, leaves no mark until it wakes that one. Nor does a guest that wakes by something else than the
//! above.

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

/// What was heard of the tasks of one instance.
pub(crate) struct Wakes {
    of: Of,
    pages: Vec<Page>,
    tasks: Tasks,
}

/// Whose doubts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Of the task that is active: in a component that is not composed.
    ActiveTask,
    /// Of any.
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

    /// The page of a part of the component.
    fn add(&mut self, words: WasmList<u32>) {
        self.pages.push(Page::new(words));
    }

    /// Reads what was written since the last time.
    pub(super) fn read<T: 'static>(&mut self, store: StoreContext<'_, T>) {
        for (part, page) in self.pages.iter_mut().enumerate() {
            page.read(&store, part, &mut self.tasks);
        }
    }

    /// A request starts, in a task that is new. Tasks of a composed component may be anybody's.
    pub(super) fn request_starts(&mut self, request: &Arc<RequestScope>) {
        if self.of == Of::ActiveTask {
            self.tasks.request_starts(request);
        }
    }

    /// Why the task that calls, which is one of `own`, may be doing another's work, if all was
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
