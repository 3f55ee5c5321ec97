//! Proxies' fields about clients, and the fields for services.

mod client;
mod fields;
mod sender;

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use headwater_core::Fault;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

pub(crate) use self::client::Client;
use self::fields::{Hop, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use self::sender::Sender;
pub(crate) use self::sender::canonical;
use crate::request::target;

/// The field with the part of the path that the service does not see.
pub(crate) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The trusted proxies, and the fields that tell services about clients.
#[derive(Debug, Clone)]
pub struct ForwardedParams {
    /// The networks of trusted proxies. Their fields name the client, its scheme and the host that it asked
    /// for; the fields of all others are ignored. Default: none.
    pub trusted: Vec<IpNet>,
    /// If true, peers on Unix-domain sockets are trusted proxies. Default: false; otherwise, whoever may open
    /// the socket could pose as any client.
    pub trust_unix: bool,
    /// The fields that the proxies write. Default: either.
    pub fields: ForwardedFields,
    /// If true, services get fresh `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host` and `forwarded`
    /// fields in place of those received. Default: true, so that services can rely on them. If false, the
    /// fields are passed on as received, and clients can forge them.
    pub rewrite: bool,
}

/// The request fields in which proxies name clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedFields {
    /// Whichever of the two is there. A proxy that writes one and passes the other on would let clients
    /// choose their address, so a request with both gets a 400 if they name different clients, or if neither
    /// names one and they differ. If only one names a client, the other is ignored.
    #[default]
    Either,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
    /// Only `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
}

impl Default for ForwardedParams {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            trust_unix: false,
            fields: ForwardedFields::default(),
            rewrite: true,
        }
    }
}

/// Reads the fields of proxies, and writes those for services.
#[derive(Debug)]
pub(crate) struct Forwarding(pub(crate) ForwardedParams);

/// The statements of a request's proxies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<Authority>,
    /// True if the peer is a trusted proxy.
    pub(crate) by_proxy: bool,
    /// See [`ForwardedParams::rewrite`].
    rewrite: bool,
}

// === impl Forwarding ===

impl Forwarding {
    /// Returns what the request's fields are trusted to say, if it came from this address; a 400 if a trusted
    /// proxy's fields are malformed or contradict each other.
    pub(crate) fn believe(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Told, Fault> {
        let told = match peer {
            Some(peer) if self.trusts(peer.ip()) => self.read(headers)?,
            None if self.0.trust_unix => self.read(headers)?,
            _ => Told::default(),
        };
        Ok(Told {
            rewrite: self.0.rewrite,
            ..told
        })
    }

    fn read(&self, headers: &HeaderMap) -> Result<Told, Fault> {
        let (mut standard, mut common) = (Vec::new(), Vec::new());
        if self.0.fields != ForwardedFields::XForwarded {
            standard = fields::forwarded(headers).map_err(|error| bad(error.to_string()))?;
        }
        if self.0.fields != ForwardedFields::Forwarded {
            common = fields::x_forwarded(headers);
        }
        let told = match (self.walk(&standard)?, self.walk(&common)?) {
            (Some(standard), Some(common)) => standard.and(common)?,
            (one, other) => one.or(other).unwrap_or_default(),
        };
        Ok(Told {
            by_proxy: true,
            ..told
        })
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Follows the hops from the nearest proxy, as long as each is trusted. A proxy that hides its client
    /// counts as the client, but its scheme and host are used.
    fn walk(&self, hops: &[Hop<'_>]) -> Result<Option<Told>, Fault> {
        let (mut client, mut proto, mut host) = (None, None, None);
        for hop in hops.iter().rev() {
            match hop.sender {
                Sender::Named(sender) => {
                    client = Some(sender);
                    proto = hop.proto.as_deref();
                    host = hop.host.as_deref();
                    if !self.trusts(sender.ip()) {
                        break;
                    }
                }
                Sender::Hidden => {
                    proto = hop.proto.as_deref().or(proto);
                    host = hop.host.as_deref().or(host);
                    break;
                }
                Sender::Malformed => {
                    return Err(bad("a proxy's field has a malformed address".to_owned()));
                }
            }
        }
        let schemes = || [Scheme::HTTPS, Scheme::HTTP].into_iter();
        let scheme = proto
            .and_then(|proto| schemes().find(|scheme| proto.eq_ignore_ascii_case(scheme.as_str())));
        let authority = |host| Authority::try_from(host).ok().filter(target::is_valid);
        let malformed = || bad("a proxy's field has a malformed host".to_owned());
        let host = host.map(|host| authority(host).ok_or_else(malformed));
        let host = host.transpose()?;
        // Empty fields also show that the proxy writes this kind and not the other.
        Ok((!hops.is_empty()).then_some(Told {
            client,
            scheme,
            host,
            ..Told::default()
        }))
    }
}

// === impl Told ===

impl Told {
    /// Combines the two kinds of fields. If only one names a client, a proxy wrote that one, and the other is
    /// ignored: a client may have written it.
    fn and(self, common: Self) -> Result<Self, Fault> {
        let ip = |told: &Self| told.client.map(|client| client.ip());
        match (ip(&self), ip(&common)) {
            (Some(one), Some(other)) if one == other => Ok(Self {
                client: self.client,
                scheme: self.scheme.or(common.scheme),
                host: self.host.or(common.host),
                ..Self::default()
            }),
            (Some(_), None) => Ok(self),
            (None, Some(_)) => Ok(common),
            (None, None) if self == common => Ok(self),
            _ => Err(bad(
                "the `forwarded` and `x-forwarded-*` fields contradict each other: the proxy wrote \
                 one kind and passed the other on; let the proxy remove that one, or select the right \
                 one in the settings"
                    .to_owned(),
            )),
        }
    }

    /// Replaces the received fields by those for the service, unless that is turned off. The URI has to be
    /// absolute. `introduction` caches the values for requests that no proxy speaks for.
    pub(crate) fn introduce(
        &self,
        peer: Option<SocketAddr>,
        introduction: &OnceLock<Client>,
        parts: &mut Parts,
    ) {
        if !self.rewrite {
            return;
        }
        let (uri, headers) = (&parts.uri, &mut parts.headers);
        let scheme = uri.scheme().unwrap_or(&Scheme::HTTP);
        let fresh;
        let client = if self.client.is_some() || self.scheme.is_some() {
            fresh = Client::new(self.client.or(peer), scheme);
            &fresh
        } else {
            introduction.get_or_init(|| Client::new(peer, scheme))
        };
        match &client.address {
            Some(address) => headers.insert(X_FORWARDED_FOR, address.clone()),
            None => headers.remove(X_FORWARDED_FOR),
        };
        let proto = match *scheme == Scheme::HTTPS {
            true => HeaderValue::from_static("https"),
            false => HeaderValue::from_static("http"),
        };
        headers.insert(X_FORWARDED_PROTO, proto);
        headers.insert(FORWARDED, client.forwarded.clone());
        let host = match headers.get(HOST) {
            Some(host) => Some(host.clone()),
            None => uri
                .authority()
                .and_then(|host| HeaderValue::from_str(host.as_str()).ok()),
        };
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
        if !self.by_proxy {
            headers.remove(X_FORWARDED_PREFIX);
        }
    }

    /// Returns the URI that the client asked for, and sets the `Host` field to match.
    pub(crate) fn restore(&self, uri: Uri, headers: &mut HeaderMap) -> Result<Uri, Fault> {
        if self.scheme.is_none() && self.host.is_none() {
            return Ok(uri);
        }
        let mut parts = uri.into_parts();
        if let Some(scheme) = &self.scheme {
            parts.scheme = Some(scheme.clone());
        }
        if let Some(host) = &self.host {
            if let Ok(value) = HeaderValue::from_str(host.as_str()) {
                headers.insert(HOST, value);
            }
            parts.authority = Some(host.clone());
        }
        Uri::from_parts(parts).map_err(|error| bad(error.to_string()))
    }
}

fn bad(problem: String) -> Fault {
    Fault::client(
        StatusCode::BAD_REQUEST,
        "bad_forwarded",
        "the proxy's fields contradict each other or are malformed",
    )
    .caused_by(problem)
}
