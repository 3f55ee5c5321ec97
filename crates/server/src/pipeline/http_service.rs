//! The host's services behind another HTTP server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Body, BodyError};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower_service::Service;

use crate::pipeline::front::Front;
use crate::pipeline::peer::Peer;
use crate::request::target::Origin;

/// A [`tower_service::Service`] that answers by the routes of a [`Front`]. Cheap to clone.
///
/// A request is treated like one from a listener of Headwater: it gets an id, a scope, a server span, limits,
/// and the service's timeout. The other server puts the client's address into the request's extensions as
/// [`ClientAddress`]; without it, the client is unknown, and limits by client do not apply.
#[derive(Clone)]
pub struct HttpService {
    front: Arc<Front>,
    authority: Authority,
}

/// The address of the client that a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub SocketAddr);

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl HttpService {
    /// Answers by the front's routes, and follows replacements.
    #[must_use]
    pub fn new(front: Arc<Front>) -> Self {
        Self {
            front,
            // For HTTP/1.0 requests, which may name no host.
            authority: Authority::from_static("localhost"),
        }
    }
}

impl<B> Service<Request<B>> for HttpService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Answering {
        // A program that makes requests itself may name the host only in the URI.
        let named = request.uri().authority().map(|it| it.as_str().parse());
        if let (Some(Ok(host)), false) = (named, request.headers().contains_key(HOST)) {
            request.headers_mut().insert(HOST, host);
        }
        let client = request.extensions().get::<ClientAddress>();
        let scheme = request.uri().scheme().cloned();
        let scheme = scheme.unwrap_or(Scheme::HTTP);
        let origin = Origin::new(scheme, self.authority.clone());
        let peer = Peer::new(client.map(|client| client.0), None, origin);
        let request = request.map(|body| -> Body { body.map_err(Into::into).boxed_unsync() });
        let handling = self.front.receive(request, (), &peer);
        let front = Arc::clone(&self.front);
        Box::pin(async move { Ok(front.respond(handling).await.map(BodyExt::boxed_unsync)) })
    }
}

headwater_core::debug_fields!(HttpService {});

#[cfg(test)]
mod tests {
    use headwater_core::full;
    use http::StatusCode;

    use super::*;
    use crate::testing;
    use crate::{FrontParams, Router};

    #[tokio::test]
    async fn a_request_of_another_server_is_answered_as_one_of_ours() {
        let route = testing::route("/echo", testing::answer_with("ok"));
        let front = Front::new(FrontParams::default(), Router::new([route]).unwrap());
        let mut service = HttpService::new(front);
        let request = Request::post("http://a.example/echo")
            .body(full("x"))
            .unwrap();
        let answer = service.call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key("x-request-id"));
        let request = Request::get("/nothing").header("host", "a.example");
        let answer = service.call(request.body(full("")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}
