//! Middlewares of a program: `tower` layers in a chain.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use headwater_core::{
    Body, BodyError, Fault, Handler, HandlerFuture, RequestScope, call_next, explain,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::util::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

/// The handler behind a middleware, as a `tower` service. A layer wraps it.
///
/// It finds the request's place in the chain by an extension of the request, so a layer must leave the extensions in
/// the request. A layer may clone a request, with its extensions, to send it again.
#[derive(Debug, Clone)]
pub struct NextService(());

/// The error of [`NextService`]: what is behind the middleware failed.
///
/// A layer that returns it is not blamed for it.
#[derive(Debug, thiserror::Error)]
#[error("what is behind the middleware failed: {0}")]
pub struct NextError(Fault);

/// The future of [`NextService`].
pub type NextFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, BodyError>> + Send>>;

/// The scope of the middleware that has a request.
#[derive(Clone)]
struct AtLink(Arc<RequestScope>);

/// A layer around [`NextService`]. Each request gets a clone of it.
struct Native<S>(Mutex<S>);

/// Makes the handler of a middleware from a layer.
pub fn native<L, B>(layer: L) -> Arc<dyn Handler>
where
    L: Layer<NextService>,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Error: Into<BodyError>,
    <L::Service as Service<Request<Body>>>::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    Arc::new(Native(Mutex::new(layer.layer(NextService(())))))
}

impl<S, B> Handler for Native<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BodyError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    fn handle(&self, mut request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        let service = self.0.lock().clone();
        request.extensions_mut().insert(AtLink(Arc::clone(&scope)));
        let answered = service.oneshot(request);
        Box::pin(answered.map(move |answered| {
            let response = answered.map_err(|error| fault(error.into(), &scope))?;
            Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
        }))
    }
}

fn fault(error: BodyError, scope: &RequestScope) -> Fault {
    let error = match error.downcast::<NextError>() {
        Ok(next) => {
            scope.set_next_fault(next.0);
            return Fault::error_code("what is behind the middleware failed");
        }
        Err(error) => error,
    };
    match error.downcast::<Fault>() {
        Ok(fault) => *fault,
        Err(error) => Fault::host("middleware").caused_by(explain(&*error)),
    }
}

impl<B> Service<Request<B>> for NextService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = BodyError;
    type Future = NextFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let at = request.extensions_mut().remove::<AtLink>();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move {
            let AtLink(scope) = at.ok_or_else(|| {
                Fault::host("middleware").caused_by("a layer took the request's extensions away")
            })?;
            let answered = call_next(&scope, request).await;
            answered.map_err(|fault| NextError(fault).into())
        })
    }
}
