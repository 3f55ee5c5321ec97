use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, SizeHint};
use http_body_util::BodyExt;

use crate::{Attribution, Body, BodyError, Fault, PolledFrame, RequestScope, Witness};

/// The body of the handler behind a link, on its way past the link.
struct PassedBody {
    body: Body,
    scope: Arc<RequestScope>,
}

/// Calls the handler behind a link that is part of the host, so that it is certain which request the link works
/// for. Errors of the response's body are recorded as the handler's, so that the link is not blamed for them.
///
/// # Errors
///
/// Returns the fault of the handler, or one of the host if the scope is not that of a middleware.
pub async fn call_next(
    scope: &Arc<RequestScope>,
    request: Request<Body>,
) -> Result<Response<Body>, Fault> {
    let Some(next) = scope.next().cloned() else {
        return Err(Fault::host("chain").caused_by("nothing is behind the middleware"));
    };
    let _waiting = scope.call_next();
    let attribution = Attribution::exact(Arc::clone(scope), Witness::Sole);
    let response = next.call(request, attribution).await?;
    Ok(response.map(|body| match body.is_end_stream() {
        true => body,
        false => PassedBody {
            body,
            scope: Arc::clone(scope),
        }
        .boxed_unsync(),
    }))
}

impl http_body::Body for PassedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_err(|error| match error.downcast::<Fault>() {
            Ok(fault) => {
                let text = fault.to_string();
                self.scope.set_next_fault(*fault);
                text.into()
            }
            Err(error) => error,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
