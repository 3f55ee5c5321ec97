//! The life of an outgoing request.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::fields::{DeclaredLength, declared_length, strip_hop_by_hop};
use headwater_core::{Attribution, Body, Caller, Counters, Hops, LoopGuard};
use headwater_telemetry::{ClientRequest, ClientSpan, Metrics};
use http::header::HOST;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming as FromNetwork;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connector::Connector;
use crate::error::Phase;
use crate::incoming::Incoming;
use crate::internal::{self, InternalServices, Way};
use crate::params::{EgressParams, PoolParams, SendOptions, Timeouts};
use crate::request_body;
use crate::resolve::AddressPolicy;
use crate::response_body::ResponseBody;
use crate::target::Target;
use crate::{EgressError, Grants, TraceHeaders};

/// The outgoing client of one service: its grants, its connections, its TLS sessions. Cheap to
/// clone; the clones share all of it.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    grants: Grants,
    timeouts: Timeouts,
    metrics: Metrics,
    trace_headers: TraceHeaders,
    internal: InternalServices,
    loops: LoopGuard,
    client: Client<Connector, Body>,
}

// === impl Egress ===

impl Egress {
    /// Makes the client of a service. Connects to nothing yet.
    #[must_use]
    pub fn new(params: EgressParams) -> Self {
        let EgressParams {
            service,
            grants,
            timeouts,
            trace_headers,
            pool,
            tls_roots,
            metrics,
            internal,
            loops,
        } = params;
        let PoolParams {
            max_idle_per_host,
            idle_timeout,
        } = pool;
        let connector = Connector::new(AddressPolicy, tls_roots, timeouts.connect);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .pool_max_idle_per_host(max_idle_per_host)
            // From the URI's authority.
            .set_host(true)
            // A kept connection that turns out closed; only a request of which nothing was sent.
            .retry_canceled_requests(true)
            .build(connector);
        Self(Arc::new(Inner {
            service,
            grants,
            timeouts,
            metrics,
            trace_headers,
            internal,
            loops,
            client,
        }))
    }

    /// The service that calls out.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.0.service
    }

    /// What it may reach.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// Sends a request on behalf of the one it is attributed to, and resolves at the response's head.
    ///
    /// The URI is absolute. `Host` and hop-by-hop fields are the host's: the former is made of the
    /// URI, so that what was granted is what is asked for, and the latter are removed. Of trace
    /// headers that the guest set the service's [`TraceHeaders`] decide; otherwise the request
    /// carries its own span's. Redirects are the guest's business.
    ///
    /// `cdn-loop` is the host's, too: it says what the request came through that this one is made for.
    /// If that request is not known, the extension [`Hops`] is to say what it may have come through at
    /// most.
    ///
    /// It is counted by the time that this returns, whether or not the future is ever polled.
    ///
    /// An error of the response's body is an [`EgressError`] in its box.
    ///
    /// # Errors
    ///
    /// See [`EgressError`]. A request that is denied never causes a look-up or a connection.
    pub fn send(
        &self,
        request: Request<Body>,
        options: SendOptions,
        attribution: Attribution,
    ) -> impl Future<Output = Result<Response<Body>, EgressError>> + Send + use<> {
        self.0.metrics.attributed(&self.0.service, &attribution);
        let span = ClientSpan::start(ClientRequest {
            attribution: &attribution,
            service: &self.0.service,
            method: request.method(),
            uri: request.uri(),
        });
        let checked = self.check(&request, &attribution);
        if checked.is_ok()
            && let Some(scope) = attribution.scope()
        {
            Counters::add(&scope.counters().outgoing, 1);
        }
        let this = self.clone();
        async move {
            this.finish(request, options, attribution, span, checked)
                .await
        }
    }

    /// All that takes time.
    async fn finish(
        &self,
        mut request: Request<Body>,
        options: SendOptions,
        attribution: Attribution,
        mut span: ClientSpan,
        checked: Result<Way, EgressError>,
    ) -> Result<Response<Body>, EgressError> {
        let sent = match checked {
            Ok(way) => {
                self.exchange(way, &mut request, options, &attribution, &span)
                    .await
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) if self.0.loops.has_refused(&response) => {
                span.response(response.status(), response.version());
                span.error(EgressError::LoopDetected.kind());
                self.complain_of_loop(&attribution);
                Err(EgressError::LoopDetected)
            }
            Ok(response) => {
                span.response(response.status(), response.version());
                let between_bytes = options
                    .between_bytes_timeout
                    .unwrap_or(self.0.timeouts.between_bytes);
                let scope = attribution.scope().cloned();
                let mut response = response
                    .map(|body| ResponseBody::new(body, span, scope, between_bytes).boxed_unsync());
                strip_hop_by_hop(response.headers_mut());
                Ok(response)
            }
            Err(error) => {
                span.error(error.kind());
                Err(error)
            }
        }
    }

    /// All that may fail between the check and the response's body.
    async fn exchange(
        &self,
        way: Way,
        request: &mut Request<Body>,
        options: SendOptions,
        attribution: &Attribution,
        span: &ClientSpan,
    ) -> Result<Response<Incoming>, EgressError> {
        prepare(request)?;
        let hops = request.extensions_mut().remove::<Hops>();
        let headers = request.headers_mut();
        self.0.trace_headers.apply(headers, attribution, span);
        match attribution.scope() {
            Some(scope) => self.0.loops.pass_on(scope.hops(), headers),
            None => self.0.loops.pass_on(&hops.unwrap_or_default(), headers),
        }

        let request = std::mem::replace(request, Request::new(headwater_core::empty()));
        let request = request.map(|body| request_body::counted(body, attribution));
        match way {
            Way::Network => {
                let response = self.exchange_by_network(request, options).await?;
                Ok(response.map(Incoming::Network))
            }
            Way::Internal(service) => {
                let caller = Caller {
                    service: Arc::clone(&self.0.service),
                    scope: attribution.scope().cloned(),
                };
                let first_byte = options
                    .first_byte_timeout
                    .unwrap_or(self.0.timeouts.first_byte);
                let response = internal::exchange(service, request, caller, first_byte).await?;
                Ok(response.map(Incoming::Internal))
            }
        }
    }

    async fn exchange_by_network(
        &self,
        mut request: Request<Body>,
        options: SendOptions,
    ) -> Result<Response<FromNetwork>, EgressError> {
        let connection = capture_connection(&mut request);
        let timeouts = &self.0.timeouts;
        let response = Phases {
            connect: options
                .connect_timeout
                .map_or(timeouts.connect, |asked| asked.min(timeouts.connect)),
            first_byte: options.first_byte_timeout.unwrap_or(timeouts.first_byte),
        }
        .bound(pin!(self.0.client.request(request)), connection)
        .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Upgrade);
        }
        Ok(response)
    }

    /// By what way the service may reach the destination, if it may.
    fn check(
        &self,
        request: &Request<Body>,
        attribution: &Attribution,
    ) -> Result<Way, EgressError> {
        let target = Target::of(request.uri())?;
        let internal = &self.0.internal;
        let allowed = if internal.claims(&target) {
            // "Everything" is everything outside: a service for the internet has no business with its
            // neighbours.
            self.0.grants.allow_by_name(&target)
        } else {
            self.0.grants.allow_target(&target)
        };
        let destination = target.to_string();
        if allowed {
            return internal.way(&target).inspect_err(|error| {
                tracing::warn!(
                    target: "headwater::egress",
                    parent: None,
                    request_id = attribution.scope().map(|scope| tracing::field::display(scope.id())),
                    service = &*self.0.service,
                    destination,
                    "an outgoing request cannot reach a service of this host: {}",
                    headwater_core::explain(error),
                );
            });
        }
        tracing::warn!(
            target: "headwater::egress",
            parent: None,
            request_id = attribution.scope().map(|scope| tracing::field::display(scope.id())),
            service = &*self.0.service,
            destination,
            "an outgoing request was denied: no grant covers it"
        );
        Err(EgressError::Denied { destination })
    }

    fn complain_of_loop(&self, attribution: &Attribution) {
        tracing::warn!(
            target: "headwater::egress",
            parent: None,
            request_id = attribution.scope().map(|scope| tracing::field::display(scope.id())),
            service = &*self.0.service,
            "an outgoing request came back to this host too often: a service calls itself, or several \
             call each other in a circle; --max-hops allows longer chains"
        );
    }
}

/// Makes the request fit to be sent.
fn prepare(request: &mut Request<Body>) -> Result<(), EgressError> {
    if *request.method() == Method::CONNECT {
        return Err(EgressError::InvalidMethod);
    }
    let declared = declared_length(request.headers());
    let actual = request.body().size_hint().exact();
    match (declared, actual) {
        (DeclaredLength::Exactly(declared), Some(actual)) if declared != actual => {
            return Err(EgressError::ContentLength);
        }
        (DeclaredLength::Invalid, _) => return Err(EgressError::ContentLength),
        // Otherwise hyper holds the body to what was declared.
        _ => {}
    }
    // The connection decides the version; a request that insists on one would fail.
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    headers.remove(HOST);
    Ok(())
}

/// The timeouts of the two phases until the response's head.
struct Phases {
    connect: Duration,
    first_byte: Duration,
}

impl Phases {
    /// Waits for the response: until a connection is there by one timeout, and from then on by the
    /// other.
    async fn bound(
        self,
        mut response: Pin<&mut impl Future<Output = Result<Response<FromNetwork>, ClientError>>>,
        mut connection: CaptureConnection,
    ) -> Result<Response<FromNetwork>, EgressError> {
        let classify = |error| EgressError::classify(error, Phase::Head);
        // Of its own, because what it yields holds a lock.
        let connected = async move {
            let _ = connection.wait_for_connection_metadata().await;
        };
        let connecting = async {
            tokio::select! {
                biased;
                early = response.as_mut() => Some(early),
                () = connected => None,
            }
        };
        match tokio::time::timeout(self.connect, connecting).await {
            Ok(Some(early)) => return early.map_err(classify),
            Ok(None) => {}
            Err(_elapsed) => return Err(EgressError::ConnectTimeout),
        }
        tokio::time::timeout(self.first_byte, response)
            .await
            .map_err(|_elapsed| EgressError::FirstByteTimeout)?
            .map_err(classify)
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("service", &self.0.service)
            .field("grants", &self.0.grants)
            .finish_non_exhaustive()
    }
}
