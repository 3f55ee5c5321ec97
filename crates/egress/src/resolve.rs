//! From a name to addresses that may be dialled.
//!
//! Two steps. The second sees every address before it is dialled, whatever the URI's spelling was,
//! and what it returns is what is dialled: a second look-up that answers otherwise has no chance.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use crate::EgressError;

/// What is thought of an address. For now everything is let through: the name decides
/// ([`Grants`](crate::Grants)).
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressPolicy;

/// The system's resolver, with a look at what it says.
#[derive(Debug, Clone)]
pub(crate) struct VettingResolver {
    system: GaiResolver,
    policy: AddressPolicy,
}

// === impl AddressPolicy ===

impl AddressPolicy {
    /// Whether an address may be dialled.
    #[expect(clippy::unused_self, reason = "the seam where ranges are denied")]
    pub(crate) fn permits(&self, _address: IpAddr) -> bool {
        true
    }

    /// For a host that is an address already, and so is never resolved.
    pub(crate) fn vet_literal(&self, host: &str) -> Result<(), EgressError> {
        let text = host.trim_start_matches('[').trim_end_matches(']');
        match text.parse() {
            Ok(address) if !self.permits(address) => Err(EgressError::Denied {
                destination: host.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

// === impl VettingResolver ===

impl VettingResolver {
    pub(crate) fn new(policy: AddressPolicy) -> Self {
        Self {
            system: GaiResolver::new(),
            policy,
        }
    }
}

impl Service<Name> for VettingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, EgressError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        // The system's resolver always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy.clone();
        let host = name.as_str().to_owned();
        let resolving = self.system.call(name);
        Box::pin(async move {
            let found = resolving.await.map_err(|error| EgressError::Dns {
                host: host.clone(),
                source: Arc::new(error),
            })?;
            let permitted: Vec<_> = found.filter(|found| policy.permits(found.ip())).collect();
            if permitted.is_empty() {
                return Err(EgressError::Denied { destination: host });
            }
            Ok(permitted.into_iter())
        })
    }
}
