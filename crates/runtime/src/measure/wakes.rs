//! What it costs to hear of a guest's wake-ups.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use headwater_core::{Attribution, RequestScope};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::attribution::wakes::{self, instrument};
use crate::attribution::{self, Evidence, Roots};
use crate::engine::Engine;
use crate::guest_state::GuestState;
use crate::measure::MeasureError;
use crate::measure::attribution::{scope, state};
use crate::pool::Mark;

/// A guest whose tasks do as `wit-bindgen`'s do: each has a context, which is null while it is active.
///
/// - `sleep` makes the stream that it is woken by, waits for it, and returns when it was written to;
/// - `wake` writes to the stream that was made last;
/// - `wait` does neither. It reports what a request of a Rust guest does that waits once, for which it
///   gives way to others twice.
///
/// All of them call the host in the end.
const GUEST: &str = r#"
(component
  (import "call" (func $call))
  (type $signal (stream))
  (core func $call' (canon lower (func $call)))
  (core func $return (canon task.return))
  (core func $new (canon stream.new $signal))
  (core func $read (canon stream.read $signal async))
  (core func $write (canon stream.write $signal async))
  (core func $unread (canon stream.drop-readable $signal))
  (core func $unwrite (canon stream.drop-writable $signal))
  (core func $set-new (canon waitable-set.new))
  (core func $set-drop (canon waitable-set.drop))
  (core func $join (canon waitable.join))
  (core func $context (canon context.set i32 0))
  (core func $get (canon context.get i32 0))
  (core module $m
    (import "host" "call" (func $call))
    (import "host" "return" (func $return))
    (import "host" "new" (func $new (result i64)))
    (import "host" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "host" "unread" (func $unread (param i32)))
    (import "host" "unwrite" (func $unwrite (param i32)))
    (import "host" "set-new" (func $set-new (result i32)))
    (import "host" "set-drop" (func $set-drop (param i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "context" (func $context (param i32)))
    (import "host" "get" (func $get (result i32)))
    (global $readable (mut i32) (i32.const 0))
    (global $writable (mut i32) (i32.const 0))
    (global $set (mut i32) (i32.const 0))
    (global $tasks (mut i32) (i32.const 0))
    (global $me (mut i32) (i32.const 0))
    (global $times (mut i32) (i32.const 0))
    ;; A task's context is its number.
    (func $begin
      (drop (call $get))
      (global.set $tasks (i32.add (global.get $tasks) (i32.const 1)))
      (call $context (global.get $tasks))
      (call $go-on))
    (func $go-on
      (global.set $me (call $get))
      (call $context (i32.const 0)))
    (func $pause
      (call $context (global.get $me)))
    (func $end (result i32)
      (call $call)
      (call $return)
      (i32.const 0))
    (func $make
      (local $ends i64)
      (local.set $ends (call $new))
      (global.set $readable (i32.wrap_i64 (local.get $ends)))
      (global.set $writable (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (global.set $set (call $set-new)))
    (func $drop-all
      (call $set-drop (global.get $set))
      (call $unread (global.get $readable))
      (call $unwrite (global.get $writable)))
    (func (export "sleep") (result i32)
      (call $begin)
      (call $make)
      (drop (call $read (global.get $readable) (i32.const 0) (i32.const 1)))
      (call $join (global.get $readable) (global.get $set))
      (call $pause)
      (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
    (func (export "sleep-on") (param i32 i32 i32) (result i32)
      (call $go-on)
      (call $join (global.get $readable) (i32.const 0))
      (call $drop-all)
      (call $end))
    (func (export "wake") (result i32)
      (call $begin)
      (drop (call $write (global.get $writable) (i32.const 0) (i32.const 1)))
      (call $end))
    (func (export "wait") (result i32)
      (call $begin)
      (call $make)
      (call $join (global.get $readable) (global.get $set))
      (global.set $times (i32.const 0))
      (call $pause)
      (i32.const 1))
    (func (export "wait-on") (param i32 i32 i32) (result i32)
      (call $go-on)
      (if (i32.eqz (global.get $times))
        (then
          (global.set $times (i32.const 1))
          (call $join (global.get $readable) (global.get $set))
          (call $pause)
          (return (i32.const 1))))
      (call $join (global.get $readable) (i32.const 0))
      (call $join (global.get $readable) (i32.const 0))
      (call $drop-all)
      (call $end))
    (func (export "never") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "host" (instance
    (export "call" (func $call'))
    (export "return" (func $return))
    (export "new" (func $new))
    (export "read" (func $read))
    (export "write" (func $write))
    (export "unread" (func $unread))
    (export "unwrite" (func $unwrite))
    (export "set-new" (func $set-new))
    (export "set-drop" (func $set-drop))
    (export "join" (func $join))
    (export "context" (func $context))
    (export "get" (func $get))))))
  (func (export "sleep") async
    (canon lift (core func $i "sleep") async (callback (core func $i "sleep-on"))))
  (func (export "wake") async
    (canon lift (core func $i "wake") async (callback (core func $i "never"))))
  (func (export "wait") async
    (canon lift (core func $i "wait") async (callback (core func $i "wait-on")))))
"#;

/// The CPU time of requests to a guest whose tasks can wake one another.
#[derive(Debug, Clone, Copy)]
pub struct WakesCost {
    /// A request whose task sleeps and is woken, and the one that wakes it, heard.
    pub wake_heard: Duration,
    /// The same, unheard.
    pub wake_unheard: Duration,
    /// A request that gives way to others once and wakes nobody, heard.
    pub quiet_heard: Duration,
    /// The same, unheard.
    pub quiet_unheard: Duration,
}

/// Sends `requests` of each kind, heard and unheard, through an instance each.
///
/// # Errors
///
/// When the guest cannot be run.
pub async fn wakes_cost(requests: u32) -> Result<WakesCost, MeasureError> {
    let pairs = requests / 2;
    let (wake, quiet) = (["sleep", "wake"], ["wait"]);
    let each = |elapsed: Duration, times: u32| elapsed / times.max(1);
    Ok(WakesCost {
        wake_heard: each(run(&wake, pairs, true, false).await?.elapsed, pairs),
        wake_unheard: each(run(&wake, pairs, false, false).await?.elapsed, pairs),
        quiet_heard: each(run(&quiet, requests, true, false).await?.elapsed, requests),
        quiet_unheard: each(run(&quiet, requests, false, false).await?.elapsed, requests),
    })
}

/// What a run came to.
struct Run {
    elapsed: Duration,
    /// Of the last time, what each call of the host was attributed to, in the order of these calls.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look at it"))]
    last: Vec<Attribution>,
    /// Of the last time, the request of each function that was called.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look at it"))]
    requests: Vec<Arc<RequestScope>>,
}

/// Calls these functions of the guest, in this order and at once, so often one time after the other. Its
/// tasks are `heard` of or not, and the host `asks` whom its calls are for or not.
async fn run(functions: &[&str], times: u32, heard: bool, asks: bool) -> Result<Run, MeasureError> {
    let engine = Engine::new()?;
    let mut binary = wat::parse_str(GUEST).unwrap_or_default();
    if heard && let Ok(Some(telling)) = instrument::instrumented(&binary) {
        binary = telling;
    }
    let engine = engine.for_guest(&binary)?;
    let component = Component::new(engine, &binary)?;
    let mut linker = Linker::<GuestState>::new(engine);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    linker.root().func_wrap(
        "call",
        move |mut store: StoreContextMut<'_, GuestState>, (): ()| {
            if asks {
                let attribution = attribution::current(store.as_context_mut());
                if let Ok(mut noted) = noted.lock() {
                    noted.push(attribution);
                }
            }
            Ok(())
        },
    )?;
    if heard {
        wakes::add_to_linker(&mut linker)?;
    }
    let mut state = state(Evidence::Stack);
    state.roots = Roots::new(Evidence::Stack, heard);
    let mut store = Store::new(engine, state);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guests = functions
        .iter()
        .map(|function| instance.get_typed_func::<(), ()>(&mut store, function))
        .collect::<wasmtime::Result<Vec<TypedFunc<(), ()>>>>()?;

    let mut requests = Vec::new();
    let started = Mark::of_thread();
    store
        .run_concurrent(async |accessor| {
            for _ in 0..times {
                requests.clear();
                if let Ok(mut calls) = calls.lock() {
                    calls.clear();
                }
                let mut running = FuturesUnordered::new();
                for guest in &guests {
                    let scope = scope();
                    let call = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        let call = guest.start_call_concurrent(store.as_context_mut(), ())?;
                        attribution::started(&mut store, call.task(), scope.clone());
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
    let elapsed = Mark::of_thread().since(started);
    let last = calls.lock().map(|calls| calls.clone()).unwrap_or_default();
    Ok(Run {
        elapsed,
        last,
        requests,
    })
}

#[cfg(test)]
mod tests {
    use headwater_core::{Doubt, Verdict};

    use super::*;

    /// The doubt of each call, and the numbers of the requests that it may be for, of this run.
    fn doubts(run: &Run) -> Vec<(Option<Doubt>, Vec<usize>)> {
        let number = |scope: &Arc<RequestScope>| {
            let mut requests = run.requests.iter();
            requests
                .position(|request| request.id() == scope.id())
                .unwrap()
        };
        let calls = run.last.iter().map(|attribution| {
            let named = attribution.scope().into_iter();
            let named = named.chain(attribution.candidates()).map(number);
            (attribution.doubt(), named.collect())
        });
        calls.collect()
    }

    #[tokio::test]
    async fn a_request_that_wakes_nobody_is_exact_in_a_guest_that_is_heard() {
        let run = run(&["wait"], 3, true, true).await.unwrap();
        assert_eq!(doubts(&run), [(None, vec![0])]);
        assert_eq!(run.last[0].verdict(), Verdict::Exact);
    }

    #[tokio::test]
    async fn a_task_that_another_request_has_woken_is_in_doubt_and_so_is_the_other() {
        let run = run(&["sleep", "wake"], 3, true, true).await.unwrap();
        assert_eq!(
            doubts(&run),
            [
                (Some(Doubt::Woken), vec![1, 0]),
                (Some(Doubt::Woken), vec![0, 1]),
            ]
        );
    }

    #[tokio::test]
    async fn a_guest_that_is_not_heard_is_believed() {
        let run = run(&["sleep", "wake"], 3, false, true).await.unwrap();
        assert_eq!(doubts(&run), [(None, vec![1]), (None, vec![0])]);
    }

    #[tokio::test]
    async fn the_measurement_runs() {
        let cost = wakes_cost(20).await.unwrap();
        assert!(cost.wake_heard > Duration::ZERO && cost.wake_unheard > Duration::ZERO);
        assert!(cost.quiet_heard > Duration::ZERO && cost.quiet_unheard > Duration::ZERO);
    }
}
