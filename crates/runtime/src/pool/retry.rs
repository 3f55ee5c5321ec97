//! Which requests may be tried once more: those of which nobody can tell that they were tried before.

use headwater_core::{Counters, RequestScope};
use http::Request;
use http_body::Body as _;
use wasmtime_wasi_http::WasiBody;

use crate::pool::queued_request::InstanceRecord;

/// A copy of a request that has no body. What has one cannot be had twice.
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

/// Whether the failed attempt had no effect that can be seen, and was not certainly what made the
/// instance fail. That no response head was given is known from where this is asked.
pub(crate) async fn is_invisible(scope: &RequestScope, instance: &InstanceRecord) -> bool {
    let called_out = Counters::get(&scope.counters().outgoing) > 0
        || scope.had_effect()
        // May have been this request's.
        || instance.outgoing.any_unattributed();
    let failure = instance.ended().await.err();
    !called_out && !failure.is_some_and(|failure| failure.is_of(scope.id()))
}
