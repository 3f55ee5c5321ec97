use std::any::TypeId;
use std::hash::{Hash, Hasher};

use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};

use crate::state::State;

/// Whether `task` has not ended, told by what is in its slot of the table of tasks: nothing, or what
/// is of another type than the slot of `running`, a task that is known to run.
///
/// Wasmtime 48 has no call for this. If the table or the ids change, tasks count as ended, and what
/// is declared or echoed for a request counts only until its answer is over.
///
/// In a composed component the slot may have become that of a subtask of another request; the
/// request is then taken to live a little longer than it does.
pub(super) fn is_running(
    mut store: StoreContextMut<'_, State>,
    task: GuestTaskId,
    running: GuestTaskId,
) -> bool {
    let Some(table) = store.concurrent_resource_table() else {
        return false;
    };
    let found = kind(table, task);
    found.is_some() && found == kind(table, running)
}

/// The type of what is in the slot.
fn kind(table: &mut ResourceTable, task: GuestTaskId) -> Option<TypeId> {
    let entry = table.get_any_mut(slot(task)?).ok()?;
    Some((*entry).type_id())
}

/// The index that the id is. It is not public, but it is all that the id hashes.
fn slot(task: GuestTaskId) -> Option<u32> {
    #[derive(Default)]
    struct Slot(Option<u32>);

    impl Hasher for Slot {
        fn write_u32(&mut self, index: u32) {
            self.0 = Some(index);
        }
        fn write(&mut self, _: &[u8]) {
            self.0 = None;
        }
        fn finish(&self) -> u64 {
            0
        }
    }

    let mut slot = Slot::default();
    task.hash(&mut slot);
    slot.0
}
