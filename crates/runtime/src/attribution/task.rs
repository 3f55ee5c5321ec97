use std::any::TypeId;

use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};

use crate::attribution::number::number;

/// Whether `task` has not ended, told by what is in its slot of the table of tasks: nothing, or what
/// is of another type than the slot of `running`, a task that is known to run.
///
/// Wasmtime 48 has no call for this. If the table or the ids change, tasks count as ended, and what
/// is declared or echoed for a request counts only until its answer is over.
///
/// In a composed component the slot of a task that has ended is taken by the ledger, at once but for a
/// task that ends and another that is made in one go.
pub(super) fn is_running<T: 'static>(
    mut store: StoreContextMut<'_, T>,
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
    let entry = table.get_any_mut(number(task)?).ok()?;
    Some((*entry).type_id())
}
