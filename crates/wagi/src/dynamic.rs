use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::{ExternType, Module, Store, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

use headwater_runtime::{InstanceThread, one_line};

use crate::deadline::{Elapsed, until};
use crate::linker::State;
use crate::module::Prepared;
use crate::output::{Hold, Output, OutputLimit};
use crate::settings::Compat;

/// The export by which a module declares additional routes.
pub(crate) const ROUTES: &str = "_routes";

/// A route that a module declares itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynamicRoute {
    /// The pattern, relative to the module's own route: `/x`, or `/x/...`.
    pub(crate) pattern: String,
    pub(crate) entrypoint: String,
}

/// The reason why a module's `_routes` cannot be used.
#[derive(Debug, Error)]
pub enum RoutesError {
    /// It trapped, exited with a code, or is not a function without parameters and results.
    #[error("`_routes` failed: {0}")]
    Failed(String),
    /// It did not finish in time.
    #[error("`_routes` took longer than {} ms (`timeout`)", .0.as_millis())]
    TooLong(Duration),
    /// It printed nothing.
    #[error("`_routes` printed nothing: it must print a route and an entrypoint on each line")]
    Empty,
    /// It printed something that is not text.
    #[error(
        "`_routes` printed text that is not UTF-8: it must print a route and an entrypoint on each line"
    )]
    NotText,
    /// A line does not have two columns.
    #[error(
        "`_routes` printed the line {0:?}: each line is a route, white space, and an entrypoint, such \
         as \"/hello/... on_hello\""
    )]
    Line(String),
}

pub(crate) fn has_routes(module: &Module) -> bool {
    matches!(module.get_export(ROUTES), Some(ExternType::Func(_)))
}

/// Calls a module's `_routes` and returns the routes in the order in which it prints them. As in
/// WAGI, the call has no arguments, variables, input or directories.
pub(crate) async fn ask(module: Arc<Prepared>) -> Result<Vec<DynamicRoute>, RoutesError> {
    let allowed = module.settings.limits.request_timeout;
    let deadline = Instant::now().checked_add(allowed);
    let thread = module.threads.instance();
    let call = call(module, thread.clone());
    match until(deadline, thread.run(call)).await {
        Ok(printed) => interpret(&printed?),
        Err(Elapsed) => Err(RoutesError::TooLong(allowed)),
    }
}

async fn call(module: Arc<Prepared>, thread: InstanceThread) -> Result<Vec<u8>, RoutesError> {
    let limit = OutputLimit {
        bytes: module.settings.limits.buffered_response as u64,
        setting: "max_response",
    };
    let output = Output::new(Hold::All, Some(limit));
    let state = State::new(
        WasiCtxBuilder::new().stdout(output.clone()).build_p1(),
        module.memory(&thread),
        module.files.instance(),
        output.clone(),
        module.outgoing_of_nobody(),
    );
    let places = module.room.take(|| true).await;
    let _places = places.map_err(|error| RoutesError::Failed(error.to_string()))?;
    let mut store = Store::new(module.instance.module().engine(), state);
    store.limiter_async(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| {
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    let outcome = async {
        let instance = module.instance.instantiate_async(&mut store).await?;
        let routes = instance.get_typed_func::<(), ()>(&mut store, ROUTES)?;
        routes.call_async(&mut store, ()).await
    };
    match outcome.await {
        Ok(()) => Ok(output.whole()),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            // WAGI treated an exit as a trap, whatever the code.
            Some(I32Exit(0)) if module.settings.compat != Compat::Strict => Ok(output.whole()),
            Some(I32Exit(code)) => Err(RoutesError::Failed(format!("it exited with code {code}"))),
            None => Err(RoutesError::Failed(one_line(&error))),
        },
    }
}

/// Parses the output of `_routes`: a route and an entrypoint on each line.
pub(crate) fn interpret(printed: &[u8]) -> Result<Vec<DynamicRoute>, RoutesError> {
    let text = std::str::from_utf8(printed).map_err(|_| RoutesError::NotText)?;
    if text.is_empty() {
        return Err(RoutesError::Empty);
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut columns = line.split_whitespace();
            match (columns.next(), columns.next(), columns.next()) {
                (Some(pattern), Some(entrypoint), None) => Ok(DynamicRoute {
                    pattern: pattern.to_owned(),
                    entrypoint: entrypoint.to_owned(),
                }),
                _ => Err(RoutesError::Line(line.chars().take(200).collect())),
            }
        })
        .collect()
}
