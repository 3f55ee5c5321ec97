//! What the ledger of a composed component's tasks costs a request.

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::attribution::ledger::Listen;
use crate::attribution::{self, Evidence};
use crate::engine::Engine;
use crate::guest_state::GuestState;
use crate::measure::MeasureError;
use crate::measure::attribution::{scope, state};
use crate::pool::Mark;

/// Requests at once, as many as a shared instance has.
const CONCURRENT: u32 = 16;

/// A component of two: the outer one's `run` calls the inner one, which calls the host once, goes on
/// after its caller has returned, and calls the host again.
const GUEST: &str = r#"
(component
  (import "call" (func $call))
  (component $inner
    (import "call" (func $call))
    (core func $call' (canon lower (func $call)))
    (core func $return (canon task.return))
    (core module $m
      (import "host" "call" (func $call))
      (import "host" "return" (func $return))
      (func (export "work") (result i32)
        (call $call)
        (call $return)
        (i32.const 1))
      (func (export "work-on") (param i32 i32 i32) (result i32)
        (call $call)
        (i32.const 0)))
    (core instance $i (instantiate $m (with "host" (instance
      (export "call" (func $call'))
      (export "return" (func $return))))))
    (func (export "work") async
      (canon lift (core func $i "work") async (callback (core func $i "work-on")))))
  (component $outer
    (import "work" (func $work async))
    (core func $work' (canon lower (func $work) async))
    (core func $return (canon task.return))
    (core module $m
      (import "host" "work" (func $work (result i32)))
      (import "host" "return" (func $return))
      (func (export "run") (result i32)
        (drop (call $work))
        (call $return)
        (i32.const 0))
      (func (export "run-on") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m (with "host" (instance
      (export "work" (func $work'))
      (export "return" (func $return))))))
    (func (export "run") async
      (canon lift (core func $i "run") async (callback (core func $i "run-on")))))
  (instance $in (instantiate $inner (with "call" (func $call))))
  (instance $out (instantiate $outer (with "work" (func $in "work"))))
  (export "run" (func $out "run")))
"#;

/// The CPU time of a request to a composed component that does nothing but two calls of the host.
#[derive(Debug, Clone, Copy)]
pub struct LedgerCost {
    /// With the ledger.
    pub with: Duration,
    /// Without it, and without any attribution.
    pub without: Duration,
}

impl LedgerCost {
    /// What the ledger, and two questions to it, add to a request.
    #[must_use]
    pub fn share(&self) -> Duration {
        self.with.saturating_sub(self.without)
    }
}

/// Sends `requests` through one instance of a composed component, with the ledger and without.
///
/// # Errors
///
/// When the guest cannot be run.
pub async fn ledger_cost(requests: u32) -> Result<LedgerCost, MeasureError> {
    Ok(LedgerCost {
        with: run(requests, Evidence::Ledger(Listen::Entries)).await? / requests.max(1),
        without: run(requests, Evidence::Sole).await? / requests.max(1),
    })
}

async fn run(requests: u32, evidence: Evidence) -> Result<Duration, MeasureError> {
    let engine = Engine::new()?;
    let engine = engine.for_guest(GUEST.as_bytes())?;
    let component = Component::new(engine, GUEST)?;
    let mut linker = Linker::<GuestState>::new(engine);
    let asks = evidence.has_checkpoints();
    linker.root().func_wrap(
        "call",
        move |mut store: StoreContextMut<'_, GuestState>, (): ()| {
            if asks {
                black_box(attribution::current(store.as_context_mut()));
            }
            Ok(())
        },
    )?;
    let mut store = Store::new(engine, state(evidence));
    store.epoch_deadline_async_yield_and_update(1);
    attribution::install(&mut store);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guest: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "run")?;

    let started = Mark::of_thread();
    let mut left = requests;
    store
        .run_concurrent(async |accessor| {
            let mut calls = FuturesUnordered::new();
            poll_fn(|cx| {
                if asks {
                    accessor.with(|mut access| attribution::checkpoint(access.as_context_mut()));
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
                // All at once, and the next when these are done: wasmtime puts a task that gives way
                // behind all that is new, so that with one new for each that returns none would end.
                for _ in 0..left.min(CONCURRENT) {
                    left -= 1;
                    let scope = scope();
                    let call = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        attribution::starting(&mut store);
                        let call = guest.start_call_concurrent(store.as_context_mut(), ())?;
                        attribution::started(&mut store, call.task(), scope.clone());
                        wasmtime::error::Ok(call)
                    });
                    match call {
                        Ok(call) => {
                            let returned = guest.finish_call_concurrent(accessor, call);
                            calls.push(async move {
                                let returned = returned.await;
                                // As the front does when the last byte is sent: what is kept for a
                                // request goes by it.
                                scope.end();
                                returned
                            });
                        }
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    // Its first poll asks to be woken.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await
        })
        .await??;
    Ok(Mark::of_thread().since(started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_measurement_runs() {
        let cost = ledger_cost(200).await.unwrap();
        assert!(cost.with > Duration::ZERO && cost.without > Duration::ZERO);
    }
}
