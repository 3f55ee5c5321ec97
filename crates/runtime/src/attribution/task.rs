use std::any::TypeId;

use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};

use crate::attribution::number::number;

/// Returns true if `task` has not ended. The slot of an ended task is empty, or has a value of another
/// type than the slot of `running`, a task that is known to run.
///
/// Wasmtime 48 has no call for this. If the table or the ids change, tasks count as ended, and
/// declarations and echoes of a request count only until its answer is over.
///
/// In a composed component the ledger takes the slot of an ended task at once, unless a task ends and
/// another is made in the same step.
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

fn kind(table: &mut ResourceTable, task: GuestTaskId) -> Option<TypeId> {
    let entry = table.get_any_mut(number(task)?).ok()?;
    Some((*entry).type_id())
}
