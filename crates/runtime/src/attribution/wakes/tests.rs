use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use futures::stream::{FuturesUnordered, StreamExt};
use headwater_core::{Attribution, Doubt, RequestScope, Verdict};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use super::instrument::instrumented;
use crate::attribution::{self, Evidence};
use crate::engine::Engine;
use crate::testing::{Attributed, roots, scope};

const GUEST: &str = include_str!("../../../benches/parts/guests/wakes.wat");

/// The result of the last of several runs.
struct Run {
    calls: Vec<Attribution>,
    requests: Vec<Arc<RequestScope>>,
}

/// Calls these functions of the guest concurrently, in this order, three times in a row. Its tasks are recorded
/// if `heard` is true.
async fn run(functions: &[&str], heard: bool) -> Run {
    let engine = Engine::new().unwrap();
    let mut binary = wat::parse_str(GUEST).unwrap();
    if heard {
        binary = instrumented(&binary).unwrap().unwrap();
    }
    let engine = engine.for_guest(&binary).unwrap();
    let component = Component::new(engine, &binary).unwrap();
    let mut linker = Linker::<Attributed>::new(engine);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    linker
        .root()
        .func_wrap(
            "call",
            move |store: StoreContextMut<'_, Attributed>, (): ()| {
                noted.lock().unwrap().push(attribution::current(store));
                Ok(())
            },
        )
        .unwrap();
    if heard {
        super::add_to_linker(&mut linker).unwrap();
    }
    let mut store = Store::new(engine, Attributed(roots(Evidence::Stack, heard)));
    store.epoch_deadline_async_yield_and_update(1);
    let instance = linker.instantiate_async(&mut store, &component);
    let instance = instance.await.unwrap();
    let guests: Vec<TypedFunc<(), ()>> = functions
        .iter()
        .map(|function| instance.get_typed_func(&mut store, function).unwrap())
        .collect();

    let mut requests = Vec::new();
    let done = store.run_concurrent(async |accessor| {
        for _ in 0..3 {
            requests.clear();
            calls.lock().unwrap().clear();
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
    });
    done.await.flatten().unwrap();
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    Run { calls, requests }
}

/// Returns the doubt of each call in this run, and the numbers of the requests that it may be for.
fn doubts(run: &Run) -> Vec<(Option<Doubt>, Vec<usize>)> {
    let number = |scope: &Arc<RequestScope>| {
        let mut requests = run.requests.iter();
        requests
            .position(|request| request.id() == scope.id())
            .unwrap()
    };
    let calls = run.calls.iter().map(|attribution| {
        let named = attribution.scope().into_iter();
        let named = named.chain(attribution.candidates()).map(number);
        (attribution.doubt(), named.collect())
    });
    calls.collect()
}

#[tokio::test]
async fn a_request_that_wakes_nobody_is_exact_in_a_guest_that_is_heard() {
    let run = run(&["wait"], true).await;
    assert_eq!(doubts(&run), [(None, vec![0])]);
    assert_eq!(run.calls[0].verdict(), Verdict::Exact);
}

#[tokio::test]
async fn a_task_that_another_request_has_woken_is_in_doubt_and_so_is_the_other() {
    let run = run(&["sleep", "wake"], true).await;
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
    let run = run(&["sleep", "wake"], false).await;
    assert_eq!(doubts(&run), [(None, vec![1]), (None, vec![0])]);
}
