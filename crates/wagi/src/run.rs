//! The life of a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Body, Fault, RequestScope, empty, full};
use headwater_runtime::{InstancePlaces, NoPlace, one_line};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use crate::argv::argv;
use crate::cpu::CpuMeter;
use crate::deadline::{Elapsed, until};
use crate::environment::{Facts, environment};
use crate::linker::State;
use crate::module::Prepared;
use crate::output::{Hold, Output, OutputError, OutputLimit};
use crate::places::RETRY_AFTER;
use crate::response::{BadOutput, Composed, compose, excerpt};
use crate::running::{Reached, Running, Yielded};
use crate::settings::{Compat, ResponseMode, WagiSettings};
use crate::stdin::{Stdin, measure};
use crate::strict;

/// The longest wait for room in a full engine. The other requests are short, too.
const ROOM_WITHIN: Duration = Duration::from_millis(500);

/// The time between two attempts to start an instance that has its places.
const RETRY_START: Duration = Duration::from_millis(5);

#[derive(Debug, Error)]
enum Failure {
    #[error("the module exited with code {0}")]
    Exit(i32),
    #[error("the module trapped: {0}")]
    Trap(String),
    #[error("the module trapped after it was refused memory (`memory`: {limit} bytes): {trap}")]
    OutOfMemory { limit: usize, trap: String },
}

/// Answers one request in a new instance.
///
/// With [`ResponseMode::Stream`], a module's output is sent when it first waits after its headers,
/// has printed much, or computes for long. If a module ends before that, it is answered as if the
/// response were buffered: with a length, or with a 500 if it fails.
pub(crate) async fn run(
    module: Arc<Prepared>,
    request: Request<Body>,
    scope: Arc<RequestScope>,
) -> Result<Response<Body>, Fault> {
    let deadline = scope.deadline();
    let answered = until(deadline, answer(&module, request, &scope)).await;
    match answered.unwrap_or_else(|Elapsed| Err(Fault::deadline())) {
        Err(fault) if module.settings.compat == Compat::Strict => strict::answer(fault, &scope),
        answered => answered,
    }
}

async fn answer(
    module: &Arc<Prepared>,
    request: Request<Body>,
    scope: &Arc<RequestScope>,
) -> Result<Response<Body>, Fault> {
    let method = request.method().clone();
    let streams = module.settings.response == ResponseMode::Stream;
    let (mut running, output) = start(module, request, scope, streams).await?;
    let reached = match streams {
        true => running.run_to_answer().await?,
        false => running.run_to_end().await.map(|()| Reached::End)?,
    };
    let mut head = head(module, scope, &output)?;
    if has_no_body(&method, head.response.status()) {
        output.discard();
        running.run_to_end().await?;
        if method == Method::HEAD {
            announce(&mut head, output.body_length());
        }
        return Ok(head.response.map(|()| empty()));
    }
    Ok(match reached {
        Reached::End => head.response.map(|()| full(output.take())),
        Reached::Answer => head.response.map(|()| running.boxed_unsync()),
    })
}

/// Returns true for responses without a body (RFC 9110, 6.4.1). The module still runs to its end.
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Sets the length for a HEAD request to that of a GET: as declared, else as printed.
fn announce(head: &mut Composed, printed: u64) {
    if let Some(length) = head.declared.or_else(|| (printed > 0).then_some(printed)) {
        let headers = head.response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Prepares everything that the module runs with, but does not run it yet.
async fn start(
    module: &Arc<Prepared>,
    request: Request<Body>,
    scope: &Arc<RequestScope>,
    streams: bool,
) -> Result<(Running, Output), Fault> {
    let settings = &module.settings;
    let (head, body) = request.into_parts();
    let (content_length, body) = measure(&head.headers, body).await?;
    let place = module.places.take(scope.deadline()).await?;
    let output = Output::new(
        if streams { Hold::Some } else { Hold::All },
        output_limit(settings, streams),
    );
    let values = settings.context.of(scope.context());
    let facts = Facts {
        head: &head,
        route: scope.route(),
        client: scope.client(),
        content_length,
        configured: &settings.environment,
        context: &values,
        default_host: &settings.default_host,
        compat: settings.compat,
        pass_authorization: settings.pass_authorization,
    };
    let mut context = WasiCtxBuilder::new();
    context
        .stdin(Stdin::new(body))
        .stdout(output.clone())
        .stderr(module.stderr(scope));
    let environment = environment(facts);
    let (path, query) = (head.uri.path(), head.uri.query());
    let arguments = argv(settings.compat, settings.argv.as_deref(), path, query);
    let snapshots = &module.snapshots;
    let keep = settings.keep_snapshots;
    snapshots.record(keep, scope, &environment, &values, &arguments);
    for (name, value) in environment {
        context.env(name, value);
    }
    context.args(&arguments);
    open_volumes(&mut context, settings)?;
    let thread = module.threads.instance();
    let state = State::new(
        context.build_p1(),
        module.memory(&thread),
        module.files.instance(),
        output.clone(),
        module.outgoing(scope),
    );
    let yielded = Yielded::default();
    let ends = settings
        .max_wall_time
        .and_then(|time| scope.started().checked_add(time));
    let run = {
        let (module, yielded, deadline) = (module.clone(), yielded.clone(), scope.deadline());
        async move {
            let _place = place;
            let _room = room(&module, deadline).await?;
            match until(ends, execute(&module, state, yielded)).await {
                Ok(ended) => ended,
                Err(Elapsed) => {
                    Err(Fault::deadline().caused_by("it ran longer than `max_wall_time`"))
                }
            }
        }
    };
    let meter = CpuMeter::new(
        settings
            .max_cpu_time
            .unwrap_or(settings.limits.request_timeout),
    );
    let run = meter.run(scope.clone(), run);
    let run = Box::pin(thread.run(module.requests.track_future(run)));
    let running = Running::new(run, output.clone(), thread, yielded);
    Ok((running, output))
}

fn output_limit(settings: &WagiSettings, streams: bool) -> Option<OutputLimit> {
    let held = (!streams).then_some(OutputLimit {
        bytes: settings.limits.buffered_response as u64,
        setting: "buffered_response",
    });
    let printed = settings.max_output.map(|bytes| OutputLimit {
        bytes,
        setting: "max_output",
    });
    held.into_iter()
        .chain(printed)
        .min_by_key(|limit| limit.bytes)
}

/// Opens the volumes in the order of the settings, so that descriptors are always the same.
fn open_volumes(context: &mut WasiCtxBuilder, settings: &WagiSettings) -> Result<(), Fault> {
    for volume in &settings.volumes {
        let permissions = match volume.read_only {
            true => FsPerms::ReadOnly,
            false => FsPerms::ReadWrite,
        };
        context
            .preopened_dir(&volume.host, &volume.guest, permissions)
            .map_err(|error| {
                Fault::host("volume").caused_by(error.context(format!(
                    "the volume `{}` ({}) can no longer be opened",
                    volume.guest,
                    volume.host.display()
                )))
            })?;
    }
    Ok(())
}

/// Runs the entrypoint to its end, then drops the instance and its state of the request.
async fn execute(module: &Prepared, state: State, yielded: Yielded) -> Result<(), Fault> {
    let engine = module.instance.module().engine();
    // Dropped after the store.
    let _ended = module.engine.reclaim().after(engine, state.memory.usage());
    let mut store = Store::new(engine, state);
    store.limiter_async(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    // Tokio's own yield, not the engine's, lets other tasks run first, even with one thread.
    store.epoch_deadline_callback(move |_| {
        yielded.note();
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    let outcome = async {
        let instance = instantiate(module, &mut store).await?;
        let entrypoint = &module.settings.entrypoint;
        let entrypoint = instance.get_typed_func::<(), ()>(&mut store, entrypoint)?;
        let memory = instance.get_memory(&mut store, "memory");
        let fresh = memory.and_then(|memory| module.written.prepare(memory.data_mut(&mut store)));
        let ended = entrypoint.call_async(&mut store, ()).await;
        if let (Some(memory), Some(fresh)) = (memory, fresh)
            && is_success(&ended)
        {
            module.written.learn(fresh, memory.data(&store));
        }
        ended
    };
    match outcome.await {
        Ok(()) => Ok(()),
        Err(error) => {
            let refused = store.data().memory.refused();
            fault(
                error,
                refused.then_some(module.settings.limits.guest_memory),
                module.settings.compat,
            )
        }
    }
}

fn is_success(ended: &wasmtime::Result<()>) -> bool {
    let error = ended.as_ref().err();
    error.is_none_or(|error| matches!(error.downcast_ref(), Some(I32Exit(0))))
}

/// Takes the engine's places for an instance. If there are none, it asks others to give way.
async fn room(module: &Prepared, deadline: Option<Instant>) -> Result<InstancePlaces, Fault> {
    if let Some(room) = module.room.try_take() {
        return Ok(room);
    }
    let within = Instant::now() + ROOM_WITHIN;
    let room = until(deadline, module.room.take(|| Instant::now() < within)).await;
    // If the deadline passes, the missing place is to blame: the module was not late.
    let room = room.unwrap_or_else(|Elapsed| Err(module.room.no_place()));
    room.map_err(NoPlace::into_fault)
}

async fn instantiate(
    module: &Prepared,
    store: &mut Store<State>,
) -> wasmtime::Result<wasmtime::Instance> {
    let until = Instant::now() + ROOM_WITHIN;
    loop {
        match module.instance.instantiate_async(&mut *store).await {
            // The instance has its places, but the memory of an earlier one is still being reset.
            Err(error) if error.is::<PoolConcurrencyLimitError>() && Instant::now() < until => {
                tokio::time::sleep(RETRY_START).await;
            }
            made => return made,
        }
    }
}

/// Interprets an error that ended the module; `proc_exit(0)` fails in strict mode only.
fn fault(
    error: wasmtime::Error,
    refused_memory: Option<usize>,
    compat: Compat,
) -> Result<(), Fault> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) if compat != Compat::Strict => return Ok(()),
        Some(I32Exit(code)) => return Err(Fault::trap().caused_by(Failure::Exit(*code))),
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::overload("instance_limit", RETRY_AFTER).caused_by(error));
    }
    match error.downcast_ref::<OutputError>() {
        Some(OutputError::TooLarge(error)) => {
            let fault = Fault::bad_response("the module's output is too large");
            return Err(fault.caused_by(error.clone()));
        }
        Some(OutputError::Head(error)) => return Err(Fault::bad_response(error.to_string())),
        None => {}
    }
    let trap = one_line(&error);
    Err(Fault::trap().caused_by(match refused_memory {
        Some(limit) => Failure::OutOfMemory { limit, trap },
        None => Failure::Trap(trap),
    }))
}

fn head(module: &Prepared, scope: &RequestScope, output: &Output) -> Result<Composed, Fault> {
    let composed = output
        .head(|head| compose(head, module.settings.compat))
        .map_err(|error| bad_output(&error, output))?;
    for warning in &composed.warnings {
        tracing::warn!(service = %module.service, request_id = %scope.id(), "omitted from the response: {warning}");
    }
    Ok(composed)
}

fn bad_output(error: &BadOutput, output: &Output) -> Fault {
    let summary = output.summary();
    let cause = match summary.printed {
        0 => "the module printed nothing".to_owned(),
        length => format!(
            "of {length} bytes printed, the first are {}",
            excerpt(&summary.opening)
        ),
    };
    Fault::bad_response(match error {
        BadOutput::Insufficient => strict::INSUFFICIENT.to_owned(),
        error => error.to_string(),
    })
    .caused_by(cause)
}
