//! The life of an outgoing request.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use headwater_core::fields::strip_hop_by_hop;
use headwater_core::{Attribution, Body, Caller, Counters, Hops, LoopGuard};
use headwater_telemetry::{ClientRequest, ClientSpan, Metrics};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::audit::Audit;
use crate::client::{Clients, Protocol};
use crate::connections::Connections;
use crate::connector::{Connector, ConnectorParams};
use crate::context_headers::ContextHeaders;
use crate::exchange::{Exchange, Way};
use crate::grants::Grant;
use crate::head;
use crate::internal::InternalServices;
use crate::limits::{EgressLimits, Limit, RequestPermits};
use crate::met::MetLimits;
use crate::params::EgressParams;
use crate::policy::AddressPolicy;
use crate::proxy::Proxy;
use crate::response_body::{self, Open, ResponseBody, ResponseBodyParams};
use crate::stopwatch::{Late, Stopwatch};
use crate::target::Target;
use crate::tls::Tls;
use crate::totals::{ConnectionCount, EgressTotals, Totals};
use crate::tracked::Tracked;
use crate::{
    EgressError, GrantSource, Grants, H2c, HostPattern, SendOptions, Timeouts, TraceHeaders,
};

/// The outgoing client of one service: its grants, connections and TLS sessions. Clones are cheap and share
/// everything.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    grants: Grants,
    unverified: Vec<HostPattern>,
    grant_source: GrantSource,
    timeouts: Timeouts,
    limits: EgressLimits,
    requests: RequestPermits,
    h2c: Vec<H2c>,
    metrics: Metrics,
    totals: Totals,
    met: MetLimits,
    trace_headers: TraceHeaders,
    context_headers: ContextHeaders,
    internal: InternalServices,
    loops: LoopGuard,
    connections: Arc<Connections>,
    clients: Clients,
    proxy: Proxy,
    audit: Audit,
}

// === impl Egress ===

impl Egress {
    /// Makes the client of a service, without connecting.
    #[must_use]
    pub fn new(params: EgressParams) -> Self {
        let EgressParams {
            service,
            grants,
            grant_source,
            timeouts,
            limits,
            shared,
            trace_headers,
            context_headers,
            pool,
            h2c,
            tls_roots,
            tls,
            proxy,
            network,
            metrics,
            internal,
            loops,
        } = params;
        let audit = Audit::new(Arc::clone(&service));
        let unverified = tls.unverified.clone();
        let connector = Connector(Arc::new(ConnectorParams {
            policy: AddressPolicy {
                service: Arc::clone(&service),
                grants: grants.clone(),
                source: grant_source.clone(),
            },
            network,
            tls: Tls::new(Arc::clone(&service), tls_roots, tls),
            proxy: proxy.clone(),
            audit: audit.clone(),
            connect: timeouts.connect,
            tls_handshake: timeouts.tls_handshake,
        }));
        let met = MetLimits::new(&service, &limits, &shared);
        let connections = Connections::new(&service, &limits, &shared, &metrics, &met);
        let connector = Tracked {
            connector,
            connections: Arc::clone(&connections),
            write: timeouts.write,
            h2c: false,
        };
        Self(Arc::new(Inner {
            clients: Clients::new(connector, &pool, &limits),
            requests: shared.requests(limits.max_requests),
            totals: Totals::default(),
            met,
            service,
            grants,
            unverified,
            grant_source,
            timeouts,
            limits,
            h2c,
            metrics,
            trace_headers,
            context_headers: ContextHeaders(context_headers),
            internal,
            loops,
            connections,
            proxy,
            audit,
        }))
    }

    /// Returns the service's name.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.0.service
    }

    /// Returns true if both are clones of one client.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the hosts whose certificates are not verified.
    #[must_use]
    pub fn unverified(&self) -> &[HostPattern] {
        &self.0.unverified
    }

    /// Returns the service's grants.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// Sends a request on behalf of the one it is attributed to, and resolves at the response's head.
    ///
    /// The URI has to be absolute. The host sets `Host` from the URI, so that the request asks for what was
    /// granted, and removes hop-by-hop fields. The service's [`TraceHeaders`] decide about trace headers that
    /// the guest set; otherwise the request carries those of its own span. Redirects are not followed.
    ///
    /// The host also sets `cdn-loop`, to the hops of the request that this one is made for. If that request
    /// is unknown, the extension [`Hops`] has to give the most hops that it may have had.
    ///
    /// The request is counted when this returns, even if the future is never polled.
    ///
    /// An error of the response's body is a boxed [`EgressError`].
    ///
    /// # Errors
    ///
    /// See [`EgressError`]. A denied request never causes a look-up or a connection.
    pub fn send(
        &self,
        request: Request<Body>,
        options: SendOptions,
        attribution: Attribution,
    ) -> impl Future<Output = Result<Response<Body>, EgressError>> + Send + use<> {
        let span = self.begin(&request, &attribution);
        let checked = self.check(&request);
        if let Some(scope) = attribution.scope() {
            let counters = scope.counters();
            match &checked {
                Ok(_) => Counters::add(&counters.outgoing, 1),
                Err(error) if error.is_denial() => Counters::add(&counters.outgoing_denied, 1),
                Err(_) => {}
            }
        }
        let this = self.clone();
        async move {
            this.finish(request, options, attribution, span, checked)
                .await
        }
    }

    /// Records a request that one of the caller's own limits refuses, and returns its error.
    ///
    /// It has a span and is counted, like one that a limit of this client refuses.
    pub fn refuse<B>(
        &self,
        request: &Request<B>,
        attribution: &Attribution,
        limit: Limit,
    ) -> EgressError {
        let mut span = self.begin(request, attribution);
        let error = EgressError::Limit(limit);
        self.failed(&mut span, &error);
        error
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn totals(&self) -> EgressTotals {
        self.0.totals.read()
    }

    /// Returns the open connections, by upstream.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionCount> {
        self.0.connections.count()
    }

    /// Returns true while a request waits for its turn to open a connection.
    #[cfg(test)]
    pub(crate) fn is_waiting_for_a_connection(&self) -> bool {
        self.0.connections.is_waited_for()
    }

    fn begin<B>(&self, request: &Request<B>, attribution: &Attribution) -> ClientSpan {
        let (service, metrics) = (&self.0.service, &self.0.metrics);
        metrics.attributed(service, attribution);
        let (method, uri) = (request.method(), request.uri());
        let span = ClientSpan::start(ClientRequest {
            attribution,
            service,
            method,
            uri,
        });
        span.measured_by(metrics.begin_outgoing(service, method, uri))
    }

    fn failed(&self, span: &mut ClientSpan, error: &EgressError) {
        self.0.totals.failed(error);
        self.0.met.note(error);
        span.error(error.kind());
    }

    /// Does the asynchronous part of sending a request.
    async fn finish(
        &self,
        request: Request<Body>,
        options: SendOptions,
        attribution: Attribution,
        mut span: ClientSpan,
        checked: Result<Way, EgressError>,
    ) -> Result<Response<Body>, EgressError> {
        let exchanged = match checked {
            Ok(way) => {
                self.exchange(request, options, way, &attribution, &mut span)
                    .await
            }
            Err(error) => Err(error),
        };
        let (response, stopwatch) = match exchanged {
            Ok(exchanged) => exchanged,
            Err(error) => {
                self.failed(&mut span, &error);
                self.denied(&attribution, &error);
                return Err(error);
            }
        };
        span.response(response.status(), response.version());
        if self.0.loops.has_refused(&response) {
            self.failed(&mut span, &EgressError::LoopDetected);
            self.complain_of_loop(&attribution);
            return Err(EgressError::LoopDetected);
        }
        let mut response = response.map(|open| {
            ResponseBody::new(ResponseBodyParams {
                open,
                span,
                scope: attribution.scope().cloned(),
                stopwatch,
                between_bytes: self
                    .0
                    .timeouts
                    .phases(options, self.0.limits.wait)
                    .between_bytes,
                limits: &self.0.limits,
                met: &self.0.met,
            })
            .boxed_unsync()
        });
        strip_hop_by_hop(response.headers_mut());
        Ok(response)
    }

    /// Does everything that may fail between the check and the response's body.
    async fn exchange(
        &self,
        mut request: Request<Body>,
        options: SendOptions,
        way: Way,
        attribution: &Attribution,
        span: &mut ClientSpan,
    ) -> Result<(Response<Open>, Stopwatch), EgressError> {
        let this = &*self.0;
        let (limits, loops) = (&this.limits, &this.loops);
        let scope = attribution.scope();
        let phases = this.timeouts.phases(options, limits.wait);
        let mut stopwatch = Stopwatch::new(phases.total);
        let declared = head::prepare(&mut request, limits)?;
        let hops = request.extensions_mut().remove::<Hops>();
        let headers = request.headers_mut();
        this.trace_headers.apply(headers, attribution, span);
        this.context_headers.apply(headers, scope);
        match scope {
            Some(scope) => loops.pass_on(scope.hops(), headers),
            None => loops.pass_on(&hops.unwrap_or_default(), headers),
        }
        // If the guest asked for less time than the wait may take, the error names what it waited for.
        let (began, wait) = (Instant::now(), limits.wait.min(phases.connection));
        let place = stopwatch.bound(this.requests.take(wait)).await?;
        let place = place.map_err(EgressError::Limit)?;
        stopwatch.set(began.checked_add(phases.connection), Late::Connect);
        let mut exchange = Exchange {
            clients: &this.clients,
            limits,
            totals: &this.totals,
            phases,
            scope,
            span,
            stopwatch: &mut stopwatch,
        };
        let (response, lease) = match way {
            Way::Network(protocol) => {
                let destination = request.uri().clone();
                this.proxy.authorize(&destination, request.headers_mut());
                exchange.by_network(request, declared, protocol).await?
            }
            Way::Internal(other) => {
                let caller = Caller {
                    service: Arc::clone(&this.service),
                    scope: scope.cloned(),
                };
                let sending = exchange.by_internal(request, declared, other, caller);
                sending.await?
            }
        };
        let declared = response_body::declared(&response);
        let response = response.map(|body| Open {
            body,
            declared,
            _lease: lease,
            _place: place,
        });
        Ok((response, stopwatch))
    }

    /// Returns the way to the destination, if the service may reach it.
    fn check(&self, request: &Request<Body>) -> Result<Way, EgressError> {
        let target = Target::of(request.uri())?;
        let (grants, internal) = (&self.0.grants, &self.0.internal);
        let allowed = if internal.claims(&target) {
            // `*` means everything outside: it does not include the other services of the host.
            grants.allow_by_name(&target)
        } else {
            grants.allow_target(&target)
        };
        if allowed {
            return Ok(match internal.service(&target)? {
                Some(service) => Way::Internal(service),
                None if self.0.h2c.iter().any(|h2c| h2c.is(&target)) => Way::Network(Protocol::H2c),
                None => Way::Network(Protocol::Usual),
            });
        }
        Err(EgressError::Denied {
            remedy: self.remedy(&target),
            destination: target.to_string(),
        })
    }

    /// Returns how to allow a target that no grant covers, or why no grant can.
    fn remedy(&self, target: &Target) -> String {
        let (grants, internal) = (&self.0.grants, &self.0.internal);
        let allow = |target: &Target| {
            let source = &self.0.grant_source;
            let remedy = source.remedy(&self.0.service, grants, &Grant::of(target));
            format!("allow them with {remedy}")
        };
        // A grant of a missing service, or of a wrong scheme or port, would not help.
        if let Some(missing) = internal.missing(target) {
            return missing.to_string();
        }
        let Some((reason, spoken)) = internal.unspoken(target) else {
            return allow(target);
        };
        let write = format!("{reason}: write http://{}", spoken.host);
        match grants.allow_by_name(&spoken) {
            true => write,
            false => format!("{write}, and {}", allow(&spoken)),
        }
    }

    /// Reports a denied request to the audit log and its scope; ignores other errors.
    fn denied(&self, attribution: &Attribution, error: &EgressError) {
        if !error.is_denial() {
            return;
        }
        self.0.audit.denied(attribution, error);
        if let Some(scope) = attribution.scope() {
            if let EgressError::AddressDenied { .. } = error {
                // Other requests were counted when they were made.
                Counters::add(&scope.counters().outgoing_denied, 1);
            }
            scope.set_denial(Arc::new(error.clone()));
        }
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

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("service", &self.0.service)
            .field("grants", &self.0.grants)
            .finish_non_exhaustive()
    }
}
