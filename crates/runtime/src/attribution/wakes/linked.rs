//! `headwater:attribution/wakes`, by which a rewritten component gives its notes to the host.

use wasmtime::component::{Linker, WasmList};
use wasmtime::{AsContextMut, StoreContextMut};

use super::instrument::{INTERFACE, Report};
use crate::attribution::{AttributionView, with_wakes};

/// Links the interface, only for a component that was rewritten: others are not offered it.
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
