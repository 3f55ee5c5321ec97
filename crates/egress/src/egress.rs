//! The life of an outgoing request.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::fields::{DeclaredLength, declared_length, strip_hop_by_hop};
use headwater_core::{Attribution, Body, Counters};
use headwater_telemetry::{ClientRequest, ClientSpan, Metrics};
use http::header::HOST;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::audit::Audit;
use crate::connector::{Connector, ConnectorParams};
use crate::error::Phase;
use crate::params::{EgressParams, PoolParams, SendOptions, Timeouts};
use crate::policy::AddressPolicy;
use crate::proxy::Proxy;
use crate::request_body;
use crate::response_body::ResponseBody;
use crate::target::Target;
use crate::tls::Tls;
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
    proxy: Proxy,
    audit: Audit,
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
            tls,
            proxy,
            network,
            metrics,
        } = params;
        let PoolParams {
            max_idle_per_host,
            idle_timeout,
        } = pool;
        let audit = Audit::new(Arc::clone(&service));
        let connector = Connector::new(ConnectorParams {
            policy: AddressPolicy::new(grants.clone()),
            network,
            tls: Tls::new(Arc::clone(&service), tls_roots, tls),
            proxy: proxy.clone(),
            audit: audit.clone(),
            connect: timeouts.connect,
            tls_handshake: timeouts.tls_handshake,
        });
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
            proxy,
            audit,
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
        let checked = self.check(&request);
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
        checked: Result<(), EgressError>,
    ) -> Result<Response<Body>, EgressError> {
        let sent = match checked {
            Ok(()) => {
                self.exchange(&mut request, options, &attribution, &span)
                    .await
            }
            Err(error) => Err(error),
        };
        match sent {
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
                self.0.audit.denied(&attribution, &error);
                Err(error)
            }
        }
    }

    /// All that may fail between the check and the response's body.
    async fn exchange(
        &self,
        request: &mut Request<Body>,
        options: SendOptions,
        attribution: &Attribution,
        span: &ClientSpan,
    ) -> Result<Response<Incoming>, EgressError> {
        prepare(request)?;
        let headers = request.headers_mut();
        self.0.trace_headers.apply(headers, attribution, span);
        let destination = request.uri().clone();
        self.0.proxy.authorize(&destination, request.headers_mut());

        let request = std::mem::replace(request, Request::new(headwater_core::empty()));
        let mut request = request.map(|body| request_body::counted(body, attribution));
        let connection = capture_connection(&mut request);
        let timeouts = &self.0.timeouts;
        // Its parts are bounded by the connector, each with an error of its own.
        let connect = timeouts.connect.saturating_add(timeouts.tls_handshake);
        let response = Phases {
            connect: options
                .connect_timeout
                .map_or(connect, |asked| asked.min(connect)),
            first_byte: options.first_byte_timeout.unwrap_or(timeouts.first_byte),
        }
        .bound(pin!(self.0.client.request(request)), connection)
        .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Upgrade);
        }
        Ok(response)
    }

    /// Whether the service may reach the destination, as it is written.
    fn check(&self, request: &Request<Body>) -> Result<(), EgressError> {
        let target = Target::of(request.uri())?;
        if self.0.grants.allow_target(&target) {
            return Ok(());
        }
        Err(EgressError::Denied {
            destination: target.to_string(),
        })
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
        mut response: Pin<&mut impl Future<Output = Result<Response<Incoming>, ClientError>>>,
        mut connection: CaptureConnection,
    ) -> Result<Response<Incoming>, EgressError> {
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
