//! The import of a middleware: `wasi:http/handler`, the handler behind it. The host implements it, and hands
//! the request, with its scope, to the next link of the request's chain.

mod cut_body;
mod error;

use std::sync::Arc;

use headwater_core::{Attribution, Body, Fault, Next, NextCall, RequestScope};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use self::cut_body::NextBody;
pub(crate) use self::error::ReturnedCode;
use crate::attribution::{self, Names};
use crate::outgoing_http::{OutgoingPermit, OutgoingView};

/// The interface, in the version of wasmtime-wasi-http 48; 0.3.x versions link to each other.
pub(crate) const HANDLER: &str = "wasi:http/handler@0.3.0";

/// A call of the next handler that is about to be made.
struct Call {
    request: Request<Body>,
    scope: Arc<RequestScope>,
    next: Arc<dyn Next>,
    attribution: Attribution,
    permit: OutgoingPermit,
    waiting: NextCall,
    /// Tells the guest what became of the request that it made.
    sent: oneshot::Sender<()>,
}

type Answer = Result<Resource<p3::Response>, ErrorCode>;

pub(crate) fn add_to_linker<T: OutgoingView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(HANDLER)?.func_wrap_concurrent(
        "handle",
        |accessor: &Accessor<T>, (request,): (Resource<p3::Request>,)| {
            Box::pin(async move { Ok((handle(accessor, request).await?,)) })
        },
    )
}

async fn handle<T: OutgoingView>(
    accessor: &Accessor<T>,
    request: Resource<p3::Request>,
) -> wasmtime::Result<Answer> {
    // In the future's first poll, which happens within the guest's call: the only time when the call stack
    // is the caller's.
    let call = accessor.with(|mut access| Call::prepare(access.as_context_mut(), request))?;
    let call = match call {
        Ok(call) => call,
        Err(code) => return Ok(Err(code)),
    };
    let Call {
        request,
        scope,
        next,
        attribution,
        permit,
        waiting,
        sent,
    } = call;
    // In a task of its own: the next handler's work must not hold up this instance, which polls this, nor
    // count as its time, and a long chain would need a deep stack.
    let answer = AbortOnDropHandle::new(tokio::spawn(next.call(request, attribution)));
    let answer = tokio::select! {
        biased;
        answer = answer => answer.unwrap_or_else(|error| {
            Err(Fault::host("panic").caused_by(format!("the next handler failed: {error}")))
        }),
        () = scope.cancelled().cancelled() => return Ok(Err(ErrorCode::ConnectionTerminated)),
    };
    drop(waiting);
    // It is not waited for.
    let _ = sent.send(());
    match answer {
        Ok(response) => accessor
            .with(|mut access| respond(access.as_context_mut(), response, scope, permit).map(Ok)),
        Err(fault) => {
            let code = error::code_of(&fault);
            scope.set_next_fault(fault);
            Ok(Err(code))
        }
    }
}

/// Returns the response as the guest's.
fn respond<T: OutgoingView>(
    mut store: StoreContextMut<'_, T>,
    response: Response<Body>,
    scope: Arc<RequestScope>,
    permit: OutgoingPermit,
) -> wasmtime::Result<Resource<p3::Response>> {
    let response = response.map(|body| NextBody::new(body, scope, permit));
    let http = store.data_mut().http();
    // What becomes of the response at its reader is of no use to the next handler.
    let (response, _sent) = p3::Response::from_http(http.hooks, response);
    Ok(http.table.push(response)?)
}

// === impl Call ===

impl Call {
    /// Takes the request from the guest, and finds out whose it is.
    fn prepare<T: OutgoingView>(
        mut store: StoreContextMut<'_, T>,
        request: Resource<p3::Request>,
    ) -> wasmtime::Result<Result<Self, ErrorCode>> {
        let made = store.data_mut().http().table.get_mut(&request)?;
        let names = Names::read(&made.headers);
        let attribution = attribution::of_effect(store.as_context_mut(), &names);
        let chained = attribution
            .scope()
            .and_then(|scope| Some((Arc::clone(scope), Arc::clone(scope.next()?))));
        let mut made = store.data_mut().http().table.delete(request)?;
        // The guest may have made it, and left out what stays as it is.
        if let Some((_, next)) = &chained {
            let uri = next.uri();
            made.scheme = made.scheme.or_else(|| uri.scheme().cloned());
            made.authority = made.authority.or_else(|| uri.authority().cloned());
        }
        made.path_with_query
            .get_or_insert_with(|| PathAndQuery::from_static("/"));
        let (sent, processed) = oneshot::channel();
        let processed = async move {
            // Closed if the call was dropped.
            let _ = processed.await;
            Ok(())
        };
        let request = match made.into_http_with_getter(&mut store, processed, T::http) {
            Ok((request, _options)) => request,
            Err(error) => return error.downcast().map(Err),
        };
        let Some((scope, next)) = chained else {
            return Ok(Err(ErrorCode::InternalError(Some(
                "the host cannot tell for which request the next handler is called".to_owned(),
            ))));
        };
        // The next handler may do anything.
        scope.note_effect();
        let waiting = scope.call_next();
        if scope.is_cancelled() {
            return Ok(Err(ErrorCode::ConnectionTerminated));
        }
        let (hooks, _) = store.data_mut().outgoing()?;
        let Some(permit) = hooks.outgoing().open() else {
            return Ok(Err(ErrorCode::ConnectionLimitReached));
        };
        Ok(Ok(Self {
            request: request.map(|body| body.map_err(Into::into).boxed_unsync()),
            scope,
            next,
            attribution,
            permit,
            waiting,
            sent,
        }))
    }
}
