use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_core::{Body, Fault, RequestScope, full};
use headwater_runtime::{MemoryBudget, RequestStderr, one_line};
use http::{Request, Response};
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use crate::argv::argv;
use crate::deadline::{Elapsed, until};
use crate::environment::{Facts, environment};
use crate::linker::State;
use crate::module::Prepared;
use crate::response::{BadOutput, compose, excerpt};
use crate::settings::WagiSettings;
use crate::stdin::{Stdin, measure};
use crate::stdout::{OutputTooLarge, Stdout};

/// When a client may come back that met too many instances. Requests to WAGI modules are short.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a request waits for room in a full engine. Others' requests are short, too.
const ROOM_WITHIN: Duration = Duration::from_millis(500);

/// How long it waits between two tries: room comes by whatever ends anywhere in the process.
const RETRY_START: Duration = Duration::from_millis(20);

/// How a module failed to run to its end.
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
pub(crate) async fn run(
    module: &Prepared,
    request: Request<Body>,
    scope: Arc<RequestScope>,
) -> Result<Response<Body>, Fault> {
    let settings = &module.settings;
    let answer = until(scope.deadline(), async {
        let (head, body) = request.into_parts();
        let (content_length, body) = measure(&head.headers, body).await?;
        let stdout = Stdout::new(settings.limits.buffered_response);
        let facts = Facts {
            head: &head,
            route: scope.route(),
            client: scope.client(),
            content_length,
            configured: &settings.environment,
            default_host: &settings.default_host,
            compat: settings.compat,
            pass_authorization: settings.pass_authorization,
        };
        let mut context = WasiCtxBuilder::new();
        context
            .stdin(Stdin::new(body))
            .stdout(stdout.clone())
            .stderr(RequestStderr::new(&module.output, Arc::clone(&scope)));
        for (name, value) in environment(facts) {
            context.env(name, value);
        }
        let (path, query) = (head.uri.path(), head.uri.query());
        let template = settings.argv.as_deref();
        context.args(&argv(settings.compat, template, path, query));
        open_volumes(&mut context, settings)?;
        execute(module, &mut context).await?;
        Ok(stdout.take())
    });
    match answer.await {
        Ok(output) => respond(module, &scope, &output?),
        Err(Elapsed) => Err(Fault::deadline()),
    }
}

/// In the order of the settings, so that descriptors are always the same.
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
                    "the volume `{}` ({}) is gone",
                    volume.guest,
                    volume.host.display()
                )))
            })?;
    }
    Ok(())
}

/// Runs the entrypoint to its end. The instance, and what it holds of the request, is gone after it.
async fn execute(module: &Prepared, context: &mut WasiCtxBuilder) -> Result<(), Fault> {
    let limit = module.settings.limits.guest_memory;
    let state = State {
        wasi: context.build_p1(),
        memory: MemoryBudget::new(limit),
    };
    let mut store = Store::new(module.instance.module().engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    // Tokio's own yield rather than the engine's: after it, other tasks, sockets and timers get their
    // turn first, even on a runtime with one thread.
    store.epoch_deadline_callback(|_| {
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    let outcome = async {
        let instance = instantiate(module, &mut store).await?;
        let entrypoint = &module.settings.entrypoint;
        let entrypoint = instance.get_typed_func::<(), ()>(&mut store, entrypoint)?;
        entrypoint.call_async(&mut store, ()).await
    };
    match outcome.await {
        Ok(()) => Ok(()),
        Err(error) => fault(error, store.data().memory.refused().then_some(limit)),
    }
}

/// Makes an instance. Where the engine has no room, whoever has an idle instance is asked to give way.
async fn instantiate(
    module: &Prepared,
    store: &mut Store<State>,
) -> wasmtime::Result<wasmtime::Instance> {
    let until = Instant::now() + ROOM_WITHIN;
    loop {
        match module.instance.instantiate_async(&mut *store).await {
            Err(error) if error.is::<PoolConcurrencyLimitError>() && Instant::now() < until => {
                module.room.make();
                tokio::time::sleep(RETRY_START).await;
            }
            made => return made,
        }
    }
}

/// What an end by error means; `proc_exit(0)` is one, and a success.
fn fault(error: wasmtime::Error, refused_memory: Option<usize>) -> Result<(), Fault> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => return Ok(()),
        Some(I32Exit(code)) => return Err(Fault::trap().caused_by(Failure::Exit(*code))),
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::overload("instance_limit", RETRY_AFTER).caused_by(error));
    }
    if let Some(error) = error.downcast_ref::<OutputTooLarge>() {
        let fault = Fault::bad_response("the module's output is too large");
        return Err(fault.caused_by(error.clone()));
    }
    let trap = one_line(&error);
    Err(Fault::trap().caused_by(match refused_memory {
        Some(limit) => Failure::OutOfMemory { limit, trap },
        None => Failure::Trap(trap),
    }))
}

fn respond(
    module: &Prepared,
    scope: &RequestScope,
    output: &Bytes,
) -> Result<Response<Body>, Fault> {
    let composed = compose(output).map_err(|error| bad_output(&error, output))?;
    for warning in composed.warnings {
        tracing::warn!(service = %module.service, request_id = %scope.id(), "left out of the response: {warning}");
    }
    Ok(composed.response.map(full))
}

fn bad_output(error: &BadOutput, output: &Bytes) -> Fault {
    let cause = match output.len() {
        0 => "the module printed nothing".to_owned(),
        length => format!(
            "of {length} bytes printed, the first are {}",
            excerpt(output)
        ),
    };
    Fault::bad_response(error.to_string()).caused_by(cause)
}
