//! A connection to an upstream: resolve, vet, dial, and TLS where the scheme asks for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_core::BodyError;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use crate::resolve::{AddressPolicy, VettingResolver};
use crate::tls::{self, TlsRoots};

type Tcp = HttpConnector<VettingResolver>;

/// Makes connections for one service.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: Tcp,
    policy: AddressPolicy,
    // Made when `https` is first used.
    tls: Arc<OnceCell<HttpsConnector<Tcp>>>,
    roots: TlsRoots,
}

// === impl Connector ===

impl Connector {
    /// `timeout` is shared out among a name's addresses, so that one that does not answer leaves
    /// time for the next.
    pub(crate) fn new(policy: AddressPolicy, roots: TlsRoots, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(VettingResolver::new(policy.clone()));
        // TLS wraps this connector, so it sees `https` too.
        tcp.enforce_http(false);
        // A small request must not wait for an acknowledgement of the one before it.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self {
            tcp,
            policy,
            tls: Arc::default(),
            roots,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        // As the resolver.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Self {
            mut tcp,
            policy,
            tls,
            roots,
        } = self.clone();
        Box::pin(async move {
            policy.vet_literal(destination.host().unwrap_or_default())?;
            if destination.scheme() != Some(&Scheme::HTTPS) {
                return Ok(MaybeHttpsStream::Http(tcp.call(destination).await?));
            }
            let connector = tls
                .get_or_try_init(|| async {
                    let config = tls::client_config(&roots).await?;
                    Ok::<_, crate::EgressError>(
                        HttpsConnectorBuilder::new()
                            .with_tls_config(config)
                            .https_only()
                            // Offers HTTP/2 and HTTP/1.1 by ALPN.
                            .enable_all_versions()
                            .wrap_connector(tcp),
                    )
                })
                .await?;
            connector.clone().call(destination).await
        })
    }
}
