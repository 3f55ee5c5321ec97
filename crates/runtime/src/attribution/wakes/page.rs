//! The memory that the shims of a component's part write to, and the host reads.
//!
//! It has a few words for the shims themselves, and a ring of notes. A note has a kind, the active task,
//! and two more words. The shims call the host before the ring is full, which is rare.

use wasmtime::StoreContext;
use wasmtime::component::WasmList;

use super::tasks::{Event, Tasks};

pub(super) const WORD: u32 = 4;

/// The word with the number of all notes so far, which wraps.
pub(super) const WRITTEN: u32 = 0;
/// The word with the context of the last active task.
pub(super) const ACTIVE: u32 = 1;
/// The word with the context that was got last.
pub(super) const GOT: u32 = 2;
/// The number of words before the notes.
pub(super) const HEAD: u32 = 4;

pub(super) const NOTE: u32 = 4;
/// The capacity of the ring in notes; a power of two. All of them fit into a part of the processor's
/// first cache: with 2,048 a request took 100 ns more.
pub(super) const NOTES: u32 = 256;
/// The number of notes after which the host is called; a power of two.
pub(super) const CALL_AFTER: u32 = NOTES / 2;

pub(super) const WORDS: u32 = HEAD + NOTE * NOTES;

/// The kinds of notes.
pub(super) const STARTS: u32 = 0;
pub(super) const GOES_ON: u32 = 1;
pub(super) const PAUSES: u32 = 2;
pub(super) const CREATED: u32 = 3;
pub(super) const WRITES: u32 = 4;
pub(super) const JOINS: u32 = 5;

pub(super) struct Page {
    words: WasmList<u32>,
    /// The number of notes that were read, as counted in [`WRITTEN`].
    read: u32,
}

impl Page {
    pub(super) fn new(words: WasmList<u32>) -> Self {
        Self { words, read: 0 }
    }

    pub(super) fn read<T: 'static>(
        &mut self,
        store: &StoreContext<'_, T>,
        part: usize,
        tasks: &mut Tasks,
    ) {
        let words = self.words.as_le_slice(store);
        let written = word(words, WRITTEN);
        let behind = written.wrapping_sub(self.read);
        if behind > NOTES {
            // Some were overwritten.
            tasks.lose();
            self.read = written;
        }
        while self.read != written {
            let note = HEAD + NOTE * (self.read % NOTES);
            let [kind, task, one, other] = [0, 1, 2, 3].map(|place| word(words, note + place));
            match event(kind, one, other) {
                Some(event) => tasks.happened((part, task), event),
                None => tasks.lose(),
            }
            self.read = self.read.wrapping_add(1);
        }
    }
}

fn word(words: &[u32], place: u32) -> u32 {
    let word = words.get(place as usize);
    word.copied().map_or(0, u32::from_le)
}

fn event(kind: u32, one: u32, other: u32) -> Option<Event> {
    Some(match kind {
        STARTS => Event::Starts,
        GOES_ON => Event::GoesOn,
        PAUSES => Event::Pauses,
        CREATED => Event::Creates {
            readable: one,
            writable: other,
        },
        WRITES => Event::Writes { writable: one },
        JOINS => Event::Joins {
            waitable: one,
            set: other,
        },
        _ => return None,
    })
}
