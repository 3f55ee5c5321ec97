//! The service that a connection's codec calls for each request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::connection::h2_send_body::H2SendBody;
use crate::connection::state::ConnectionState;
use crate::pipeline::front::Front;
use crate::pipeline::peer::Peer;

#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Arc<Parts>);

/// The state of one connection's requests. They share this, and none of what all connections share: threads
/// that update one reference count wait for each other.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) front: Arc<Front>,
    pub(crate) peer: Peer,
    pub(crate) state: Arc<ConnectionState>,
}

/// Boxed, because hyper moves it around.
type Answering = Pin<Box<dyn Future<Output = Result<Response<H2SendBody>, Infallible>> + Send>>;

// === impl Service ===

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<H2SendBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let ticket = self.0.state.enter();
        let version = request.version();
        // The body may outlast the response, and its bytes are not the head of another request.
        let hold = (!request.body().is_end_stream()).then(|| ticket.share());
        // Called outside the future, which then need not hold the request.
        let handling = self.0.front.receive(request, hold, &self.0.peer);
        let parts = Arc::clone(&self.0);
        Box::pin(async move {
            let mut response = parts.front.respond(handling).await;
            // hyper then closes the connection after this response.
            if version < Version::HTTP_2 && ticket.is_draining() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response.map(|body| H2SendBody::new(body, version, ticket)))
        })
    }
}
