//! Requests that got no answer from their guest, and the party at fault.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Fault, RequestId, explain};
use wasmtime_wasi_http::{p2, p3};

use crate::next_handler::ReturnedCode;
use crate::one_line::one_line;
use crate::pool::queued_request::InstanceRecord;

pub(super) enum NoAnswer {
    /// Its instance failed while the request was in it.
    InstanceFailed(Arc<InstanceRecord>, Fault),
    Other(Fault),
}

impl NoAnswer {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::InstanceFailed(record, fault) => {
                if let Some(failure) = record.failure() {
                    failure.set_told();
                }
                fault
            }
            Self::Other(fault) => fault,
        }
    }
}

impl From<Fault> for NoAnswer {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

/// A 0.2 guest returned without setting a response.
#[derive(Debug, thiserror::Error)]
#[error("the guest returned without setting a response")]
pub(super) struct NoResponse;

/// A 0.3 guest wrote an error as the result of its request's body instead of a response.
#[derive(Debug, thiserror::Error)]
#[error("the guest reported an error about the request's body")]
pub(super) struct BodyRefused(#[source] pub(super) wasmtime_wasi_http::Error);

/// An instance was not started before the request's deadline.
#[derive(Debug, thiserror::Error)]
#[error("the component was not instantiated within the timeout of a request")]
pub(super) struct SlowStart;

pub(super) fn fault(error: wasmtime::Error) -> Fault {
    if let Some(code) = error.downcast_ref::<p3::bindings::http::types::ErrorCode>() {
        return Fault::error_code(ReturnedCode(code.clone()));
    }
    if let Some(code) = error.downcast_ref::<p2::bindings::http::types::ErrorCode>() {
        return Fault::error_code(format!("{code:?}"));
    }
    if let Some(refused) = error.downcast_ref::<BodyRefused>() {
        return Fault::error_code(explain(refused));
    }
    if error.is::<NoResponse>() {
        return Fault::bad_response("the service ended without a response")
            .caused_by(one_line(&error));
    }
    if error.is::<SlowStart>() {
        return Fault::deadline().caused_by(one_line(&error));
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::overload("instance_limit", Duration::from_secs(1))
            .caused_by(one_line(&error));
    }
    Fault::trap().caused_by(one_line(&error))
}

/// Returns the fault for a request whose instance ended before it answered.
pub(super) async fn lost(instance: &InstanceRecord, request: RequestId) -> Fault {
    // The cause is set when the instance's end is complete, which may be a moment later.
    match instance.ended().await {
        Err(failure) => failure.fault(request),
        Ok(()) => {
            let number = instance.key.0;
            Fault::trap().caused_by(format!("instance {number} ended without an answer"))
        }
    }
}
