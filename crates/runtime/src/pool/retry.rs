//! Selects the requests that may be retried: those whose first attempt nobody can have seen.

use headwater_core::{Counters, RequestScope};
use http::Request;
use http_body::Body as _;
use wasmtime_wasi_http::WasiBody;

use crate::pool::queued_request::InstanceRecord;

/// Copies a request that has no body. A body cannot be read twice.
pub(crate) fn copy(request: &Request<WasiBody>) -> Option<Request<()>> {
    request.body().is_end_stream().then(|| {
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        copy
    })
}

/// Returns true if the failed attempt had no visible effect and certainly did not make the instance
/// fail. The caller has checked that no response head was given.
pub(crate) async fn is_invisible(scope: &RequestScope, instance: &InstanceRecord) -> bool {
    let called_out = Counters::get(&scope.counters().outgoing) > 0
        || scope.had_effect()
        // One of these may be this request's.
        || instance.outgoing.any_unattributed();
    let failure = instance.ended().await.err();
    !called_out && !failure.is_some_and(|failure| failure.is_of(scope.id()))
}
