//! `headwater:attribution/wakes`, by which a rewritten component shows its notes.

use wasmtime::component::{Linker, WasmList};
use wasmtime::{AsContextMut, StoreContextMut};

use super::instrument::{INTERFACE, Report};
use crate::attribution::{AttributionView, with_wakes};

/// Links the interface. Only for a component that was rewritten: to others it is not offered.
pub(crate) fn add_to_linker<T: AttributionView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut wakes = linker.instance(INTERFACE)?;
    wakes.func_wrap(
        Report::Page.name(),
        |mut store: StoreContextMut<'_, T>, (words,): (WasmList<u32>,)| {
            if let Some(wakes) = &mut store.data_mut().roots().wakes {
                wakes.add(words);
            }
            Ok(())
        },
    )?;
    wakes.func_wrap(
        Report::Read.name(),
        |mut store: StoreContextMut<'_, T>, (): ()| {
            with_wakes(&mut store.as_context_mut(), |_| ());
            Ok(())
        },
    )
}
