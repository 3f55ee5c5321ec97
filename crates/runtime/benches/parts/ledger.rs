//! The cost of the ledger of a composed component's tasks for a request.

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use headwater_core::Limits;
use headwater_runtime::measure::{self, By, Stores};
use headwater_runtime::{Engine, GuestState, capability};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::hello;
use crate::rounds::Stopwatch;

/// Concurrent requests, as many as a shared instance has.
const CONCURRENT: u32 = 16;

const GUEST: &str = include_str!("guests/composed.wat");

/// Returns the CPU time of this many requests to a composed component that only makes two calls of the host:
/// with the ledger and two queries of it, or without any attribution.
pub(crate) async fn time(engine: &Engine, requests: u32, with: bool) -> wasmtime::Result<Duration> {
    let engine = engine.for_guest(GUEST.as_bytes())?;
    let component = Component::new(engine, GUEST)?;
    let mut linker = Linker::<GuestState>::new(engine);
    linker.root().func_wrap(
        "call",
        move |mut store: StoreContextMut<'_, GuestState>, (): ()| {
            if with {
                black_box(capability::attribution(&mut store));
            }
            Ok(())
        },
    )?;
    let by = if with { By::Ledger } else { By::Sole };
    let mut store = Stores::new(engine, by, &Limits::default()).store()?;
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guest: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "run")?;

    let stopwatch = Stopwatch::start();
    let mut left = requests;
    store
        .run_concurrent(async |accessor| {
            let mut calls = FuturesUnordered::new();
            poll_fn(|cx| {
                if with {
                    accessor.with(|mut access| measure::checkpoint(access.as_context_mut()));
                }
                while let Poll::Ready(Some(returned)) = calls.poll_next_unpin(cx) {
                    let returned: wasmtime::Result<()> = returned;
                    if let Err(error) = returned {
                        return Poll::Ready(Err(error));
                    }
                }
                if !calls.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
                    return Poll::Pending;
                }
                if left == 0 {
                    return Poll::Ready(Ok(()));
                }
                // Start a batch, and the next when it is done: wasmtime queues a task that yields behind all
                // new ones, so none would end if each that returns were replaced at once.
                for _ in 0..left.min(CONCURRENT) {
                    left -= 1;
                    let scope = hello::scope();
                    let call = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        measure::starting(&mut store);
                        let call = guest.start_call_concurrent(store.as_context_mut(), ())?;
                        measure::started(&mut store, call.task(), scope.clone());
                        wasmtime::error::Ok(call)
                    });
                    match call {
                        Ok(call) => {
                            let returned = guest.finish_call_concurrent(accessor, call);
                            calls.push(async move {
                                let returned = returned.await;
                                // As the server does when the last byte is sent: it releases the data kept
                                // for the request.
                                scope.end();
                                returned
                            });
                        }
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    // Wake up for the first poll.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await
        })
        .await??;
    Ok(stopwatch.stop())
}
