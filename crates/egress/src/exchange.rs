//! Sends a permitted request and waits for the response's head, each phase with its timeout.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Body, Caller, InternalService, RequestScope};
use headwater_telemetry::ClientSpan;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming as FromNetwork;
use hyper_util::client::legacy::Error as ClientError;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use tokio::time::Instant;

use crate::EgressError;
use crate::client::{Clients, Protocol};
use crate::connection::{Lease, captured};
use crate::error::Phase;
use crate::head;
use crate::interim;
use crate::internal;
use crate::limits::EgressLimits;
use crate::request_body::RequestBody;
use crate::response_body::{self, Incoming};
use crate::stopwatch::{Late, Stopwatch};
use crate::timeouts::Phases;
use crate::totals::Totals;
use crate::upload::Upload;

pub(crate) struct Exchange<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) limits: &'a EgressLimits,
    pub(crate) totals: &'a Totals,
    pub(crate) phases: Phases,
    pub(crate) scope: Option<&'a Arc<RequestScope>>,
    pub(crate) span: &'a mut ClientSpan,
    pub(crate) stopwatch: &'a mut Stopwatch,
}

pub(crate) enum Way {
    /// By a connection with this protocol.
    Network(Protocol),
    Internal(Arc<dyn InternalService>),
}

/// A response's head, its body to come, and its connection, if it has one.
pub(crate) type Answered = (Response<Incoming>, Option<Lease>);

type Answer = Result<Response<FromNetwork>, ClientError>;

/// How often to check for a lost request: longer than most requests, shorter than clients commonly wait.
const LOOK: Duration = Duration::from_secs(1);

// === impl Exchange ===

impl Exchange<'_> {
    /// Sends the request by a connection, and waits for the head of the response. The head has to be
    /// prepared, and the phase of connecting has begun.
    pub(crate) async fn by_network(
        &mut self,
        request: Request<Body>,
        declared: Option<u64>,
        protocol: Protocol,
    ) -> Result<Answered, EgressError> {
        let (mut request, upload) = self.watch_upload(request, declared);
        let mut connection = capture_connection(&mut request);
        interim::bound(&mut request, &connection);
        let response = pin!(self.clients.send(request, &connection, protocol));
        let answered = self
            .head(response, &mut connection, protocol, upload.as_deref())
            .await;
        let mut response = match answered {
            Ok(response) => response,
            Err(failed) => {
                let lease = captured(&connection);
                self.note(lease.as_ref());
                // The body's own error: over HTTP/2 the client only says that the body was cut. The same goes
                // for the connection's error.
                let upload = upload.as_deref().and_then(Upload::failure);
                let known = upload.or(lease.as_ref().and_then(|lease| lease.failure()));
                return Err(known.cloned().unwrap_or(failed));
            }
        };
        let lease: Option<Lease> = response.extensions_mut().remove();
        self.note(lease.as_ref());
        if lease.as_ref().is_some_and(|lease| lease.is_closing())
            && let Some(connected) = &*connection.connection_metadata()
        {
            // The pool then gives it to no other request.
            connected.poison();
        }
        // Only in tests: it would cost an allocation for each response.
        #[cfg(test)]
        if let Some(lease) = &lease {
            response.extensions_mut().insert(lease.info().clone());
        }
        if let Err(contradiction) = head::check_framing(&response) {
            if let Some(lease) = &lease {
                // Where the next response begins on it is unknown.
                lease.fail(contradiction.clone());
            }
            return Err(contradiction);
        }
        let mut response = response.map(Incoming::Left);
        self.check(&mut response)?;
        Ok((response, lease))
    }

    /// Has a service of the same host answer the request. The head has to be prepared.
    pub(crate) async fn by_internal(
        &mut self,
        request: Request<Body>,
        declared: Option<u64>,
        service: Arc<dyn InternalService>,
        caller: Caller,
    ) -> Result<Answered, EgressError> {
        let (request, upload) = self.watch_upload(request, declared);
        let response = pin!(internal::exchange(service, request, caller));
        let answered = self.answer(response, upload.as_deref(), None).await;
        // A cut body cuts the exchange, as with a connection: the answer to half of a request does not count.
        if let Some(failure) = upload.as_deref().and_then(Upload::failure) {
            return Err(failure.clone());
        }
        let mut response = answered??.map(Incoming::Right);
        self.check(&mut response)?;
        Ok((response, None))
    }

    /// Checks by its head whether a response may be passed on.
    fn check(&self, response: &mut Response<Incoming>) -> Result<(), EgressError> {
        head::check(response, self.limits)?;
        let hint = response.body().size_hint().exact();
        let declared = response_body::declared(response).or(hint);
        if let (Some(size), Some(most)) = (declared, self.limits.response_body)
            && size > most
        {
            return Err(EgressError::ResponseBodySize(size));
        }
        Ok(())
    }

    /// Wraps a body that is not empty, to watch its upload.
    fn watch_upload(
        &self,
        request: Request<Body>,
        declared: Option<u64>,
    ) -> (Request<Body>, Option<Arc<Upload>>) {
        if request.body().is_end_stream() {
            return (request, None);
        }
        let (head, body) = request.into_parts();
        let write = self.phases.write;
        let (body, upload) = RequestBody::wrap(body, self.scope, declared, self.limits, write);
        (Request::from_parts(head, body), Some(upload))
    }

    /// Runs the phases until the response's head, by a connection.
    async fn head(
        &mut self,
        mut response: Pin<&mut impl Future<Output = Answer>>,
        connection: &mut CaptureConnection,
        protocol: Protocol,
        upload: Option<&Upload>,
    ) -> Result<Response<FromNetwork>, EgressError> {
        let classify = |error| EgressError::classify(error, Phase::Head);
        let connected = connected(connection);
        if let Either::Answer(early) = self.either(response.as_mut(), connected).await? {
            return early.map_err(classify);
        }
        let connection = (protocol == Protocol::Usual).then_some(&*connection);
        self.answer(response, upload, connection)
            .await?
            .map_err(classify)
    }

    /// Runs the phases from the connection to the response.
    async fn answer<T>(
        &mut self,
        mut response: Pin<&mut impl Future<Output = T>>,
        upload: Option<&Upload>,
        connection: Option<&CaptureConnection>,
    ) -> Result<T, EgressError> {
        if let Some(upload) = upload
            && let Either::Answer(early) =
                self.upload(response.as_mut(), upload, connection).await?
        {
            return Ok(early);
        }
        let due = Instant::now().checked_add(self.phases.first_byte);
        loop {
            self.set(due, Late::FirstByte, connection);
            match self.stopwatch.bound(response.as_mut()).await {
                Err(Late::Look) if !connection.is_some_and(is_lost) => {}
                ended => return Ok(ended?),
            }
        }
    }

    /// Waits for the end of the upload, as long as it progresses. A guest that set a timeout for the
    /// response, and stops sending the request, may be waiting for that timeout.
    async fn upload<T>(
        &mut self,
        mut response: Pin<&mut impl Future<Output = T>>,
        upload: &Upload,
        connection: Option<&CaptureConnection>,
    ) -> Result<Either<T>, EgressError> {
        let (limit, late) = match self.phases.asked_first_byte {
            Some(asked) if asked < self.phases.write => (asked, Late::FirstByte),
            _ => (self.phases.write, Late::Write),
        };
        loop {
            let last_moved = upload.last_moved();
            self.set(last_moved.checked_add(limit), late, connection);
            match self.either(response.as_mut(), pin!(upload.over())).await {
                Err(Late::Look) if !connection.is_some_and(is_lost) => {}
                Err(reached) if reached == late && upload.last_moved() != last_moved => {}
                ended => return Ok(ended?),
            }
        }
    }

    /// Sets the stopwatch to the deadline, or to the next check for a lost request if that is earlier.
    fn set(&mut self, due: Option<Instant>, late: Late, connection: Option<&CaptureConnection>) {
        let look = Instant::now() + LOOK;
        match due {
            Some(due) if due <= look => self.stopwatch.set(Some(due), late),
            _ if connection.is_some() => self.stopwatch.set(Some(look), Late::Look),
            _ => self.stopwatch.set(due, late),
        }
    }

    /// Waits for the response or `other`; the response first if both are ready.
    async fn either<T>(
        &mut self,
        mut response: Pin<&mut impl Future<Output = T>>,
        other: impl Future<Output = ()>,
    ) -> Result<Either<T>, Late> {
        let first = async {
            tokio::select! {
                biased;
                answer = response.as_mut() => Either::Answer(answer),
                () = other => Either::Other,
            }
        };
        self.stopwatch.bound(first).await
    }

    fn note(&mut self, lease: Option<&Lease>) {
        if let Some(lease) = lease {
            let reused = lease.count_request();
            self.totals.connection(reused);
            self.span.connection(Some(lease.info().peer), reused);
        }
    }
}

/// Returns true if a request was given a connection that closed at the same time, and is lost in it.
fn is_lost(connection: &CaptureConnection) -> bool {
    let of_many = connection
        .connection_metadata()
        .as_ref()
        .is_some_and(Connected::is_negotiated_h2);
    !of_many && captured(connection).is_some_and(|lease| lease.is_lost())
}

enum Either<T> {
    Answer(T),
    Other,
}

async fn connected(connection: &mut CaptureConnection) {
    // The result holds a lock, so it is dropped at once.
    let _ = connection.wait_for_connection_metadata().await;
}
