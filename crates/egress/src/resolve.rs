//! Resolves names. The policy judges the addresses.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType};

use crate::EgressError;

#[derive(Clone, Default)]
pub(crate) enum Resolver {
    /// The system's resolver: `/etc/hosts`, DNS, and whatever else is configured.
    #[default]
    System,
    /// A test's answer, new at each look-up.
    #[cfg(test)]
    Scripted(Script),
}

#[cfg(test)]
type Script = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

// === impl Resolver ===

impl Resolver {
    /// Resolves a name to at least one address.
    ///
    /// # Errors
    ///
    /// Returns [`EgressError::Dns`].
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let found = match self {
            Self::System => {
                let name = host.to_owned();
                // The system's resolver blocks, for seconds if a name server does not answer.
                match tokio::task::spawn_blocking(move || look_up(&name)).await {
                    Ok(found) => found.map_err(|error| failure(host, error))?,
                    Err(ended) => return Err(failure(host, io::Error::other(ended).into())),
                }
            }
            #[cfg(test)]
            Self::Scripted(script) => script(host),
        };
        if found.is_empty() {
            return Err(EgressError::Dns {
                host: host.to_owned(),
                rcode: Some(NXDOMAIN),
                source: Arc::new(io::Error::from(io::ErrorKind::NotFound)),
            });
        }
        Ok(found)
    }
}

/// DNS's names of its errors (RFC 1035, 4.1.1), which `wasi:http` passes on. The system's resolver
/// does not tell a name that does not exist from one without an address.
const NXDOMAIN: &str = "NXDOMAIN";
const SERVFAIL: &str = "SERVFAIL";

/// Returns all addresses of a name, in the system's order of preference (RFC 6724).
fn look_up(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let hints = AddrInfoHints {
        // Otherwise each address appears once for each kind of socket.
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let found = dns_lookup::getaddrinfo(Some(name), None, Some(hints))?;
    Ok(found
        .filter_map(Result::ok)
        .map(|info| info.sockaddr.ip())
        .collect())
}

fn failure(host: &str, error: LookupError) -> EgressError {
    let rcode = match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => Some(NXDOMAIN),
        LookupErrorKind::Again | LookupErrorKind::Fail => Some(SERVFAIL),
        _ => None,
    };
    EgressError::Dns {
        host: host.to_owned(),
        rcode,
        source: Arc::new(io::Error::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_its_own_name() {
        let found = Resolver::System.resolve("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        let mut once = found.clone();
        once.dedup();
        assert_eq!(found, once);
    }

    #[test]
    fn what_the_resolver_says_has_its_name_in_dns() {
        for (number, expected) in [
            // Linux's numbers, negative as in netdb.h: EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_MEMORY.
            (-2, Some("NXDOMAIN")),
            (-3, Some("SERVFAIL")),
            (-4, Some("SERVFAIL")),
            (-10, None),
        ] {
            let EgressError::Dns { rcode, .. } = failure("a", LookupError::new(number)) else {
                panic!("another error");
            };
            assert_eq!(rcode, expected, "{number}");
        }
    }
}
