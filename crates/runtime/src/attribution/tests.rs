use std::sync::Mutex;

use headwater_core::{Verdict, Witness};
use wasmtime::component::{Component, Linker, TypedFunc};

use super::*;
use crate::engine::Engine;
use crate::testing::{Attributed, roots, scope};

fn judge(roots: &Roots, walk: &Walk) -> Attribution {
    let witnesses = Witnesses {
        stack: roots.stack(walk),
        sole: roots.sole.clone(),
        ..Witnesses::default()
    };
    witnesses.judge()
}

fn verdict(evidence: Evidence, walk: &Walk) -> Verdict {
    judge(&roots(evidence, false), walk).verdict()
}

#[test]
fn a_call_from_outside_any_request_is_unknown() {
    assert_eq!(verdict(Evidence::Stack, &Walk::Nowhere), Verdict::Unknown);
    assert_eq!(verdict(Evidence::Sole, &Walk::Nowhere), Verdict::Unknown);
}

#[test]
fn a_walk_that_does_not_end_is_ambiguous() {
    assert_eq!(verdict(Evidence::Stack, &Walk::Endless), Verdict::Ambiguous);
}

#[test]
fn the_one_request_of_an_instance_is_named_whatever_the_stack_says() {
    let scope = scope();
    let mut roots = roots(Evidence::Sole, false);
    roots.sole = Some(scope.clone());
    let attribution = judge(&roots, &Walk::Nowhere);
    assert_eq!(attribution.witness(), Witness::Sole);
    assert_eq!(
        attribution.scope().map(|named| named.id()),
        Some(scope.id())
    );
}

#[tokio::test]
async fn a_call_by_a_root_task_is_attributed_exactly_by_the_stack() {
    const GUEST: &str = include_str!("../../benches/parts/guests/call.wat");
    let engine = Engine::new().unwrap();
    let engine = engine.for_guest(GUEST.as_bytes()).unwrap();
    let component = Component::new(engine, GUEST).unwrap();
    let mut linker = Linker::<Attributed>::new(engine);
    let last = Arc::new(Mutex::new(None));
    let noted = last.clone();
    linker
        .root()
        .func_wrap(
            "call",
            move |store: StoreContextMut<'_, Attributed>, (): ()| {
                *noted.lock().unwrap() = Some(current(store));
                Ok(())
            },
        )
        .unwrap();
    let mut store = Store::new(engine, Attributed::new(Evidence::Stack));
    store.epoch_deadline_async_yield_and_update(1);
    let instance = linker.instantiate_async(&mut store, &component);
    let instance = instance.await.unwrap();
    let guest: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run").unwrap();
    let request = scope();
    let done = store.run_concurrent(async |accessor| {
        let call = accessor.with(|mut access| {
            let call = guest.start_call_concurrent(access.as_context_mut(), (3,))?;
            access.data_mut().0.start(call.task(), request.clone());
            wasmtime::error::Ok(call)
        })?;
        guest.finish_call_concurrent(accessor, call).await
    });
    done.await.flatten().unwrap();
    let attribution = last.lock().unwrap().take().unwrap();
    assert_eq!(attribution.verdict(), Verdict::Exact);
    assert_eq!(attribution.witness(), Witness::Stack);
    assert_eq!(
        attribution.scope().map(|named| named.id()),
        Some(request.id())
    );
}
