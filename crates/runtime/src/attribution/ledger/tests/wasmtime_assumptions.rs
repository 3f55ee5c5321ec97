//! Undocumented behaviour of wasmtime that the ledger relies on. If one of these fails after an
//! update, the ledger is still right, but says *ambiguous* more often. The message says what has
//! changed.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use futures::future::FutureExt;
use wasmtime::component::{Component, Linker, Resource, ResourceTable, TypedFunc};
use wasmtime::{AsContextMut, CallHook, Store, StoreContextMut};

use super::adversary::components::{Part, composed};
use crate::attribution::Evidence;
use crate::attribution::number::{Number, number};
use crate::engine::Engine;
use crate::testing::Attributed;

#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// The closure given to `run_concurrent` was polled.
    Poll,
    /// The hook got `CallingWasm`; the running task and its caller.
    Enter(Vec<Number>),
    /// The hook got `ReturningFromWasm`, in this task.
    Leave(Option<Number>),
    Call(Vec<Number>),
}

type Log = Arc<Mutex<Vec<Event>>>;

/// Returns the numbers on the stack. Panics if ids have none.
fn stack(store: &mut StoreContextMut<'_, Attributed>) -> Vec<Number> {
    let ids = store.async_call_stack().unwrap().take(64);
    ids.map(|id| {
        let number = number(id).expect("a GuestTaskId no longer gives one u32 to a hasher");
        assert_eq!(
            format!("{id:?}"),
            format!("GuestTaskId(GuestTask({number}))"),
            "a GuestTaskId is no longer the index of a GuestTask, or its Debug format has changed"
        );
        number
    })
    .collect()
}

/// Returns all events, in order, when a task calls another component's, which calls the host.
async fn events() -> Vec<Event> {
    let callee = Part {
        name: "callee",
        exports: &["work"],
        code: r#"
          (func (export "work") (param $who i32) (result i32)
            (call $note (local.get $who))
            (call $return)
            (i32.const 1))
          (func (export "work-on") (param i32 i32 i32) (result i32)
            (call $note (i32.const 0))
            (i32.const 0))"#,
        ..Part::default()
    };
    let root = Part {
        name: "root",
        calls: &["work"],
        exports: &["run"],
        code: r#"
          (func (export "run") (param $who i32) (result i32)
            (drop (call $work (local.get $who)))
            (call $return)
            (i32.const 0))
          (func (export "run-on") (param i32 i32 i32) (result i32) unreachable)"#,
        ..Part::default()
    };
    let engine = Engine::new().unwrap();
    let text = composed(&[callee, root]);
    let engine = engine.for_guest(text.as_bytes()).unwrap();
    let component = Component::new(engine, text).unwrap();
    let log = Log::default();
    let mut linker = Linker::<Attributed>::new(engine);
    let calls = log.clone();
    linker
        .root()
        .func_wrap(
            "note",
            move |mut store: StoreContextMut<'_, Attributed>, (_,): (u32,)| {
                calls.lock().unwrap().push(Event::Call(stack(&mut store)));
                Ok(())
            },
        )
        .unwrap();
    linker
        .root()
        .func_wrap_concurrent("gate", |_, (_,): (u32,)| Box::pin(async { Ok(()) }))
        .unwrap();
    let mut store = Store::new(engine, Attributed::new(Evidence::Stack));
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = linker
        .instantiate_async(&mut store, &component)
        .await
        .unwrap();
    let run: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run").unwrap();
    let hooked = log.clone();
    store.call_hook(move |mut store, hook| {
        let event = match hook {
            CallHook::CallingWasm => {
                let mut stack = stack(&mut store);
                stack.truncate(2);
                Event::Enter(stack)
            }
            CallHook::ReturningFromWasm => Event::Leave(stack(&mut store).first().copied()),
            CallHook::CallingHost | CallHook::ReturningFromHost => return Ok(()),
        };
        hooked.lock().unwrap().push(event);
        Ok(())
    });
    store
        .run_concurrent(async |accessor| {
            let call = accessor.with(|mut access| {
                let next = free_slot(access.as_context_mut().concurrent_resource_table().unwrap());
                let call = run
                    .start_call_concurrent(access.as_context_mut(), (1,))
                    .unwrap();
                let task = number(call.task()).unwrap();
                assert_eq!(
                    task, next,
                    "a root task is no longer the first that is put into wasmtime's table when a \
                     call is started"
                );
                let mut store = access.as_context_mut();
                assert!(
                    store
                        .concurrent_resource_table()
                        .unwrap()
                        .get_any_mut(task)
                        .is_ok(),
                    "a task's number is no longer its index in `concurrent_resource_table`"
                );
                call
            });
            let mut call = std::pin::pin!(run.finish_call_concurrent(accessor, call).fuse());
            poll_fn(|cx| {
                log.lock().unwrap().push(Event::Poll);
                let _ = call.as_mut().poll(cx);
                // The callee continues after the caller's return.
                accessor.poll_no_interesting_tasks(cx)
            })
            .await;
        })
        .await
        .unwrap();
    log.lock().unwrap().clone()
}

/// Returns the slot of the next entry.
fn free_slot(table: &mut ResourceTable) -> Number {
    let slot = table.push(()).unwrap();
    let number = slot.rep();
    table.delete(slot).unwrap();
    number
}

#[tokio::test]
async fn the_hook_hears_of_each_task_before_its_first_call_with_its_caller() {
    let events = events().await;
    let Some(Event::Enter(root)) = events.iter().find(|event| matches!(event, Event::Enter(_)))
    else {
        panic!("CallingWasm is no longer heard: {events:?}");
    };
    let [root] = root[..] else {
        panic!("a root task has a caller now: {events:?}");
    };
    let first_call = events
        .iter()
        .position(|event| matches!(event, Event::Call(_)));
    let first_call = first_call.unwrap();
    let Event::Call(calling) = &events[first_call] else {
        unreachable!()
    };
    let [callee, caller] = calling[..] else {
        panic!("the stack of a callee is no longer itself and its caller: {events:?}");
    };
    assert_eq!(caller, root, "{events:?}");
    let entry = Event::Enter(vec![callee, root]);
    assert!(
        events[..first_call].contains(&entry),
        "CallingWasm is no longer heard before a callee's first instruction: {events:?}"
    );
}

#[tokio::test]
async fn the_closure_is_polled_between_two_work_items() {
    let events = events().await;
    let mut seen: Vec<Number> = Vec::new();
    for (nth, event) in events.iter().enumerate() {
        if let Event::Enter(stack) = event
            && !seen.contains(&stack[0])
        {
            seen.push(stack[0]);
            assert_eq!(
                nth.checked_sub(1).map(|before| &events[before]),
                Some(&Event::Poll),
                "a task begins without a poll of the closure before it: {events:?}"
            );
        }
    }
    assert_eq!(seen.len(), 2, "{events:?}");
    // The root ends with its first activation: a poll comes next, before its number is reused.
    let root = seen[0];
    let end = events
        .iter()
        .rposition(|event| *event == Event::Leave(Some(root)));
    let end = end.expect("ReturningFromWasm is no longer heard in the task that returns");
    assert_eq!(
        events.get(end + 1),
        Some(&Event::Poll),
        "the end of a task is not followed by a poll of the closure: {events:?}"
    );
}

#[tokio::test]
async fn a_caller_that_is_gone_is_the_last_on_the_stack() {
    let events = events().await;
    let calls: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Call(stack) => Some(stack.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(calls.len(), 2, "{events:?}");
    assert_eq!(
        calls[0], calls[1],
        "the number of a caller that is gone is no longer on the stack: {events:?}"
    );
}

#[test]
fn the_slot_that_was_freed_last_is_used_first() {
    struct Entry;
    let mut table = ResourceTable::new();
    let slots: Vec<Number> = (0..4).map(|_| table.push(Entry).unwrap().rep()).collect();
    for &slot in &slots {
        table.delete(Resource::<Entry>::new_own(slot)).unwrap();
    }
    let again: Vec<Number> = (0..4).map(|_| table.push(Entry).unwrap().rep()).collect();
    assert!(
        again.iter().eq(slots.iter().rev()),
        "ResourceTable no longer gives out the slot that was freed last: {slots:?}, {again:?}"
    );
}
