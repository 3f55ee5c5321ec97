//! The cost of attribution in an import call.

use std::hint::black_box;
use std::time::Duration;

use headwater_core::Limits;
use headwater_runtime::measure::{self, By, Stores};
use headwater_runtime::{Engine, GuestState, capability};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::hello;
use crate::rounds::Stopwatch;

const GUEST: &str = include_str!("guests/call.wat");

/// Returns the CPU time of this many import calls, with attribution or without.
pub(crate) async fn time(
    engine: &Engine,
    calls: u32,
    attributed: bool,
) -> wasmtime::Result<Duration> {
    let engine = engine.for_guest(GUEST.as_bytes())?;
    let component = Component::new(engine, GUEST)?;
    let mut linker = Linker::<GuestState>::new(engine);
    linker.root().func_wrap(
        "call",
        move |mut store: StoreContextMut<'_, GuestState>, (): ()| {
            if attributed {
                black_box(capability::attribution(&mut store));
            }
            Ok(())
        },
    )?;
    let mut store = Stores::new(engine, By::Stack, &Limits::default()).store()?;
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guest: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run")?;
    store
        .run_concurrent(async |accessor| {
            let call = accessor.with(|mut access| {
                let mut store = access.as_context_mut();
                let call = guest.start_call_concurrent(store.as_context_mut(), (calls,))?;
                measure::started(&mut store, call.task(), hello::scope());
                wasmtime::error::Ok(call)
            })?;
            let stopwatch = Stopwatch::start();
            guest.finish_call_concurrent(accessor, call).await?;
            wasmtime::error::Ok(stopwatch.stop())
        })
        .await?
}
