//! The cost of reported wake-ups.

use std::future::poll_fn;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use headwater_core::Limits;
use headwater_runtime::measure::{self, By, Stores};
use headwater_runtime::{Engine, GuestState};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::hello;
use crate::rounds::Stopwatch;

/// Also used by the runtime's unit tests.
const GUEST: &str = include_str!("guests/wakes.wat");

/// Returns the CPU time of concurrent calls of these functions, in this order, repeated `times` times, with the
/// guest's tasks reported or not.
pub(crate) async fn time(
    engine: &Engine,
    functions: &[&str],
    times: u32,
    heard: bool,
) -> wasmtime::Result<Duration> {
    let mut binary = wat::parse_str(GUEST)?;
    let wasmtime = engine.for_guest(&binary)?;
    let mut linker = Linker::<GuestState>::new(wasmtime);
    if heard && let Some(telling) = measure::hear(&mut linker, &binary)? {
        binary = telling;
    }
    let component = Component::new(wasmtime, &binary)?;
    linker
        .root()
        .func_wrap("call", |_: StoreContextMut<'_, GuestState>, (): ()| Ok(()))?;
    let by = if heard { By::StackAndWakes } else { By::Stack };
    let mut store = Stores::new(wasmtime, by, &Limits::default()).store()?;
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guests = functions
        .iter()
        .map(|function| instance.get_typed_func::<(), ()>(&mut store, function))
        .collect::<wasmtime::Result<Vec<TypedFunc<(), ()>>>>()?;

    let stopwatch = Stopwatch::start();
    store
        .run_concurrent(async |accessor| {
            for _ in 0..times {
                let mut running = FuturesUnordered::new();
                let mut requests = Vec::new();
                for guest in &guests {
                    let scope = hello::scope();
                    let call = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        let call = guest.start_call_concurrent(store.as_context_mut(), ())?;
                        measure::started(&mut store, call.task(), scope.clone());
                        wasmtime::error::Ok(call)
                    })?;
                    running.push(guest.finish_call_concurrent(accessor, call));
                    requests.push(scope);
                }
                while let Some(returned) = running.next().await {
                    returned?;
                }
                for scope in &requests {
                    scope.end();
                }
                // Until the tasks have ended.
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            }
            wasmtime::error::Ok(())
        })
        .await??;
    Ok(stopwatch.stop())
}
