//! Makes a connection to an upstream: by a proxy, or resolve, vet and dial; then TLS if the scheme
//! requires it.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use crate::EgressError;
use crate::audit::Audit;
use crate::dial::Dialler;
use crate::policy::AddressPolicy;
use crate::proxy::Proxy;
use crate::resolve::Resolver;
use crate::target::{Host, Scheme, Target};
use crate::tls::Tls;
use crate::transport::{ConnectionInfo, Transport};

/// How addresses are resolved and dialled.
#[derive(Clone, Default)]
pub struct Network {
    pub(crate) resolver: Resolver,
    pub(crate) dialler: Dialler,
}

pub(crate) struct ConnectorParams {
    pub(crate) policy: AddressPolicy,
    pub(crate) network: Network,
    pub(crate) tls: Tls,
    pub(crate) proxy: Proxy,
    pub(crate) audit: Audit,
    /// For name resolution, dialling and a proxy's answer, together.
    pub(crate) connect: Duration,
    pub(crate) tls_handshake: Duration,
}

#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Arc<ConnectorParams>);

/// A connection that is ready for requests.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: Transport,
    pub(crate) info: ConnectionInfo,
    /// True if the upstream is the proxy itself, which needs the whole URI in the request line.
    pub(crate) absolute_form: bool,
}

// === impl Network ===

headwater_core::debug_fields!(Network {});

// === impl Connector ===

impl Connector {
    pub(crate) async fn connect(&self, destination: Uri) -> Result<Link, EgressError> {
        let target = Target::of(&destination)?;
        let hop = self.0.proxy.hop(&destination);
        let (mut transport, peer) = match &hop {
            None => self.directly(&target).await?,
            Some(hop) => self.by_proxy(hop, &target, destination).await?,
        };
        let is_tls = target.scheme == Scheme::Https;
        let unverified = is_tls && !self.0.tls.verifies(&target.host);
        if is_tls {
            transport = self.secure(&target.host, transport, true).await?;
        }
        if unverified {
            self.0.audit.unverified(&target, peer);
        }
        let proxied = hop.is_some();
        Ok(Link {
            transport,
            info: ConnectionInfo {
                peer,
                proxied,
                unverified,
            },
            absolute_form: proxied && !is_tls,
        })
    }

    /// Connects to the destination itself, at an address that the policy permits.
    async fn directly(&self, target: &Target) -> Result<(Transport, SocketAddr), EgressError> {
        let due = due(self.0.connect);
        let found = self.resolve(&target.host, due).await?;
        let vetted = self.0.policy.vet(target, &found)?;
        self.dial(vetted, due).await
    }

    /// Connects to a proxy, and for `https` through it to the destination.
    async fn by_proxy(
        &self,
        hop: &Intercept,
        target: &Target,
        destination: Uri,
    ) -> Result<(Transport, SocketAddr), EgressError> {
        // Only the proxy knows the addresses of a name.
        if let Host::Address(address) = target.host {
            self.0.policy.vet(target, &[address])?;
        }
        let due = due(self.0.connect);
        // The operator chose the proxy, not the guest, so no policy applies.
        let proxy = Target::of(hop.uri())?;
        let found = self.resolve(&proxy.host, due).await?;
        let with_port = |address| SocketAddr::new(address, proxy.port);
        let addresses = found.into_iter().map(with_port).collect();
        let (mut transport, peer) = self.dial(addresses, due).await?;
        if proxy.scheme == Scheme::Https {
            transport = self.secure(&proxy.host, transport, false).await?;
        }
        if target.scheme == Scheme::Https {
            transport = self.tunnel(hop, transport, destination, due).await?;
        }
        Ok((transport, peer))
    }

    async fn resolve(&self, host: &Host, due: Instant) -> Result<Vec<IpAddr>, EgressError> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let resolving = self.0.network.resolver.resolve(name);
                timeout_at(due, resolving)
                    .await
                    .map_err(|_elapsed| EgressError::DnsTimeout { host: name.clone() })?
            }
        }
    }

    async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        due: Instant,
    ) -> Result<(Transport, SocketAddr), EgressError> {
        let most = due.saturating_duration_since(Instant::now());
        timeout_at(due, self.0.network.dialler.dial(addresses, most))
            .await
            .map_err(|_elapsed| EgressError::ConnectTimeout)?
    }

    async fn secure(
        &self,
        host: &Host,
        transport: Transport,
        h2: bool,
    ) -> Result<Transport, EgressError> {
        timeout(
            self.0.tls_handshake,
            self.0.tls.handshake(host, transport, h2),
        )
        .await
        .map_err(|_elapsed| EgressError::TlsHandshakeTimeout)?
    }

    async fn tunnel(
        &self,
        hop: &Intercept,
        transport: Transport,
        destination: Uri,
        due: Instant,
    ) -> Result<Transport, EgressError> {
        let connected = Connected(Some(transport));
        let mut tunnel = Tunnel::new(hop.uri().clone(), connected);
        if let Some(authorization) = hop.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        match timeout_at(due, tunnel.call(destination)).await {
            Ok(Ok(through)) => Ok(through.into_inner()),
            Ok(Err(error)) => Err(EgressError::Proxy {
                proxy: hop.uri().to_string(),
                source: Arc::new(error),
            }),
            Err(_elapsed) => Err(EgressError::ConnectTimeout),
        }
    }
}

/// Returns the end of a timeout; one that the clock cannot represent is as good as forever.
fn due(time: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    Instant::now() + time.min(AGES)
}

struct Connected(Option<Transport>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Transport>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let taken = self.0.take().map(TokioIo::new);
        ready(taken.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
