//! `headwater:attribution/wakes`, by which a rewritten component tells of its tasks.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::instrument::{INTERFACE, Report};
use crate::attribution::hear;
use crate::state::State;

/// Links the interface. Only for a component that was rewritten: to others it is not offered.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut wakes = linker.instance(INTERFACE)?;
    wakes.func_wrap(
        Report::Part.name(),
        |mut store: StoreContextMut<'_, State>, (): ()| {
            let wakes = store.data_mut().roots.wakes.as_mut();
            Ok((wakes.map_or(0, |wakes| wakes.part()),))
        },
    )?;
    wakes.func_wrap(
        Report::Created.name(),
        |store: StoreContextMut<'_, State>, (part, ends): (u32, u64)| {
            // The canonical ABI's two handles, the readable one below.
            let [readable, writable] = [ends as u32, (ends >> 32) as u32];
            hear(store, |wakes, by| {
                if let Some(by) = by {
                    wakes.created(by, part, readable, writable);
                }
            });
            Ok(())
        },
    )?;
    wakes.func_wrap(
        Report::Written.name(),
        |store: StoreContextMut<'_, State>, (part, end): (u32, u32)| {
            hear(store, |wakes, by| wakes.written(by, part, end));
            Ok(())
        },
    )?;
    wakes.func_wrap(
        Report::Joined.name(),
        |store: StoreContextMut<'_, State>, (part, waitable, set): (u32, u32, u32)| {
            hear(store, |wakes, by| {
                if let Some(by) = by {
                    wakes.joined(by, part, waitable, set);
                }
            });
            Ok(())
        },
    )?;
    wakes.func_wrap(
        Report::Paused.name(),
        |store: StoreContextMut<'_, State>, (): ()| {
            hear(store, |wakes, by| {
                if let Some(by) = by {
                    wakes.paused(by);
                }
            });
            Ok(())
        },
    )
}
