//! Tests of the ledger with hostile composed components, in a store of their own.
//!
//! A component here exports `run`, a request's root, and imports `note`, which records the
//! attribution of the call, and `gate`, which blocks a task until the test opens it. Nothing depends
//! on time: each step is taken when the event loop has nothing left to do.

pub(super) mod components;
mod scenarios;

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures::stream::{FuturesUnordered, StreamExt};
use headwater_core::{RequestId, Verdict};
use wasmtime::component::{Accessor, Component, HasSelf, Linker, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::attribution::ledger::Listen;
use crate::attribution::{self, Evidence};
use crate::engine::Engine;
use crate::testing::{Attributed, scope};

/// A step of the test, taken when the guests have nothing left to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Start(u32),
    /// Opens a gate for good.
    Open(u32),
}

/// The attribution of a `note` call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Exact(u32),
    Ambiguous,
    Unknown,
}

#[derive(Debug)]
pub(super) struct Outcome {
    /// The calls of `note`: their true requests, and the attributed ones.
    pub(super) notes: Vec<(u32, Named)>,
    /// The trap that ended the event loop, if there was one.
    pub(super) trap: Option<String>,
    /// The highest number of tasks in the ledger at any step, and the number at the end.
    pub(super) sizes: (usize, usize),
}

#[derive(Default)]
struct Shared {
    notes: Vec<(u32, Named)>,
    names: HashMap<RequestId, u32>,
    open: HashSet<u32>,
    waiting: Vec<Waker>,
    start: Vec<u32>,
    size: usize,
}

type Board = Arc<Mutex<Shared>>;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn play(text: &str, evidence: Evidence, steps: &[Step]) -> Outcome {
    let engine = Engine::new().unwrap();
    let engine = engine.for_guest(text.as_bytes()).unwrap();
    let component = Component::new(engine, text).unwrap();
    let board = Board::default();
    let mut store = Store::new(engine, Attributed::new(evidence));
    // No guest computes for long here.
    store.set_epoch_deadline(u64::MAX / 2);
    attribution::install(&mut store);
    let instance = linker(engine, &board)
        .instantiate_async(&mut store, &component)
        .await
        .unwrap();
    let run: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run").unwrap();

    let mut outcome = Outcome {
        notes: Vec::new(),
        trap: None,
        sizes: (0, 0),
    };
    {
        let mut inside =
            pin!(store.run_concurrent(async |accessor| {
                inside(accessor, &run, &board, evidence).await
            }));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut steps = steps.iter();
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(result) = inside.as_mut().poll(&mut cx) {
                    outcome.trap = Some(format!("{:#}", result.flatten().unwrap_err()));
                    break;
                }
            }
            if outcome.trap.is_some() {
                break;
            }
            let mut shared = board.lock().unwrap();
            outcome.sizes.0 = outcome.sizes.0.max(shared.size);
            outcome.sizes.1 = shared.size;
            match steps.next() {
                Some(Step::Start(who)) => shared.start.push(*who),
                Some(Step::Open(gate)) => {
                    shared.open.insert(*gate);
                    shared.waiting.drain(..).for_each(Waker::wake);
                }
                None => break,
            }
            woken.0.store(true, Ordering::SeqCst);
        }
    }
    outcome.notes = std::mem::take(&mut board.lock().unwrap().notes);
    outcome
}

/// Acts as the driver: checkpoint, calls, starts.
async fn inside(
    accessor: &Accessor<Attributed>,
    run: &TypedFunc<(u32,), ()>,
    board: &Board,
    evidence: Evidence,
) -> wasmtime::Result<()> {
    let mut calls = FuturesUnordered::new();
    poll_fn(|cx| {
        if evidence.has_checkpoints() {
            accessor.with(|mut access| {
                attribution::checkpoint(access.as_context_mut());
                let ledger = access.data_mut().0.ledger.as_ref();
                board.lock().unwrap().size = ledger.map_or(0, |ledger| ledger.size());
            });
        }
        while let Poll::Ready(Some(returned)) = calls.poll_next_unpin(cx) {
            let returned: wasmtime::Result<()> = returned;
            if let Err(error) = returned {
                return Poll::Ready(Err(error));
            }
        }
        let start = std::mem::take(&mut board.lock().unwrap().start);
        for who in start {
            let scope = scope();
            board.lock().unwrap().names.insert(scope.id(), who);
            let call = accessor.with(|mut access| {
                let mut store = access.as_context_mut();
                attribution::starting(&mut store);
                let call = run.start_call_concurrent(store.as_context_mut(), (who,))?;
                attribution::started(&mut store, call.task(), scope);
                wasmtime::error::Ok(call)
            });
            match call {
                Ok(call) => calls.push(run.finish_call_concurrent(accessor, call)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if calls.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready() {
            accessor.with(|mut access| attribution::settled(access.as_context_mut()));
        }
        Poll::Pending
    })
    .await
}

fn linker(engine: &wasmtime::Engine, board: &Board) -> Linker<Attributed> {
    let mut linker = Linker::<Attributed>::new(engine);
    let noted = board.clone();
    linker
        .root()
        .func_wrap(
            "note",
            move |store: StoreContextMut<'_, Attributed>, (who,): (u32,)| {
                let attribution = attribution::current(store);
                let mut shared = noted.lock().unwrap();
                let named = match (attribution.verdict(), attribution.scope()) {
                    (Verdict::Exact, Some(scope)) => Named::Exact(shared.names[&scope.id()]),
                    (Verdict::Ambiguous, _) => Named::Ambiguous,
                    _ => Named::Unknown,
                };
                shared.notes.push((who, named));
                Ok(())
            },
        )
        .unwrap();
    let held = board.clone();
    linker
        .root()
        .func_wrap_concurrent(
            "gate",
            move |_: &Accessor<Attributed, HasSelf<Attributed>>, (gate,): (u32,)| {
                let held = held.clone();
                Box::pin(poll_fn(move |cx| {
                    let mut shared = held.lock().unwrap();
                    if shared.open.contains(&gate) {
                        return Poll::Ready(Ok(()));
                    }
                    shared.waiting.push(cx.waker().clone());
                    Poll::Pending
                }))
            },
        )
        .unwrap();
    linker
}

impl Outcome {
    /// Asserts that no call was attributed to the wrong request.
    pub(super) fn none_wrong(&self) -> &Self {
        for (who, named) in &self.notes {
            if let Named::Exact(named) = named {
                assert_eq!(
                    who, named,
                    "a call was taken for another request's: {self:?}"
                );
            }
        }
        self
    }

    /// Asserts that there were this many calls, all attributed exactly.
    pub(super) fn all_exact(&self, calls: usize) {
        assert_eq!(self.notes.len(), calls, "{self:?}");
        for (who, named) in &self.notes {
            assert_eq!(*named, Named::Exact(*who), "{self:?}");
        }
    }
}
