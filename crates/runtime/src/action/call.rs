//! One call of a hook.
//!
//! It goes through the pool like a request: as one without a body, with the call in its extensions. The
//! result comes back in the extensions of a response without a body.

use std::sync::Arc;

use headwater_core::{Body, Fault, RequestScope};
use http::{Request, Response};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, GuestTaskId, TypedFuncCallConcurrent};
use wasmtime_wasi_http::WasiBody;

use super::hooks::{ActionGuest, OnError, OnRequest, OnResponse};
use super::types::{Action, FailedRequest, HookFault, HookRequest, HookResponse};
use crate::guest_state::GuestState;
use crate::pool::InstancePool;

/// A call of a hook, with its arguments. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum HookCall {
    Request(Arc<HookRequest>),
    Response(Arc<HookResponse>),
    Error(Arc<FailedRequest>, Arc<HookFault>),
}

/// The result of a hook.
#[derive(Debug, Clone)]
pub(super) enum HookResult {
    Action(Action),
    Answer(Option<HookResponse>),
}

/// A prepared call: its task exists, but the guest has not executed any instruction for it.
pub(crate) enum HookRun {
    Request(OnRequest, ActionCall<(Arc<HookRequest>,)>),
    Response(OnResponse, ActionCall<(Arc<HookResponse>,)>),
    Error(OnError, ErrorCall),
}

type ActionCall<P> = TypedFuncCallConcurrent<GuestState, P, (Action,)>;
type ErrorCall = TypedFuncCallConcurrent<
    GuestState,
    (Arc<FailedRequest>, Arc<HookFault>),
    (Option<HookResponse>,),
>;

// === impl HookCall ===

impl HookCall {
    /// Has an instance of the pool make the call, for the request of `scope`.
    pub(super) async fn make(
        self,
        pool: &InstancePool,
        scope: &Arc<RequestScope>,
    ) -> Result<HookResult, Fault> {
        let mut request: Request<Body> = Request::new(headwater_core::empty());
        request.extensions_mut().insert(self);
        let mut response = pool.answer(request, Arc::clone(scope)).await?;
        let result = response.extensions_mut().remove::<HookResult>();
        result.ok_or_else(|| Fault::host("action").caused_by("the hook returned nothing"))
    }

    /// Takes a call out of its request.
    pub(crate) fn of(request: Request<WasiBody>) -> wasmtime::Result<Self> {
        let (mut head, _) = request.into_parts();
        head.extensions.remove::<Self>().ok_or_else(|| {
            wasmtime::format_err!("an action component was called with a request and not by a hook")
        })
    }

    /// Prepares the call, and returns its task.
    pub(crate) fn start(
        self,
        store: StoreContextMut<'_, GuestState>,
        guest: &ActionGuest,
    ) -> wasmtime::Result<(HookRun, GuestTaskId)> {
        let none = || wasmtime::format_err!("the component has no such hook");
        Ok(match self {
            Self::Request(request) => {
                let hook = guest.on_request.ok_or_else(none)?;
                let call = hook.start_call_concurrent(store, (request,))?;
                let task = call.task();
                (HookRun::Request(hook, call), task)
            }
            Self::Response(response) => {
                let hook = guest.on_response.ok_or_else(none)?;
                let call = hook.start_call_concurrent(store, (response,))?;
                let task = call.task();
                (HookRun::Response(hook, call), task)
            }
            Self::Error(request, fault) => {
                let hook = guest.on_error.ok_or_else(none)?;
                let call = hook.start_call_concurrent(store, (request, fault))?;
                let task = call.task();
                (HookRun::Error(hook, call), task)
            }
        })
    }
}

// === impl HookRun ===

impl HookRun {
    /// Runs the call to its end. An error is a trap.
    pub(crate) async fn finish(
        self,
        accessor: &Accessor<GuestState>,
    ) -> wasmtime::Result<Response<WasiBody>> {
        let result = match self {
            Self::Request(hook, call) => {
                HookResult::Action(hook.finish_call_concurrent(accessor, call).await?.0)
            }
            Self::Response(hook, call) => {
                HookResult::Action(hook.finish_call_concurrent(accessor, call).await?.0)
            }
            Self::Error(hook, call) => {
                HookResult::Answer(hook.finish_call_concurrent(accessor, call).await?.0)
            }
        };
        let mut response = Response::new(crate::pool::no_body());
        response.extensions_mut().insert(result);
        Ok(response)
    }
}
