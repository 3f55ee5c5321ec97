//! What proxies say of clients, and what services are told.

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

/// What tells a service the part of the path that it does not see.
pub(crate) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Whose word is taken for whom a request comes from, and what services are told of it.
#[derive(Debug, Clone)]
pub struct ForwardedParams {
    /// The networks of proxies that are believed what they say of clients: who the client is, by
    /// which scheme it came, and which host it asked for. Default: none. Everybody else may say what
    /// they like.
    pub trusted: Vec<IpNet>,
    /// Whether those who connect by a Unix-domain socket are such proxies. Default: no; whoever may
    /// open the socket would be whom they like.
    pub trust_unix: bool,
    /// By which fields the proxies say it. Default: either.
    pub fields: ForwardedFields,
    /// Whether services get fresh `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host` and
    /// `forwarded` fields in place of those that came. Default: yes, so that a service may rely on
    /// them. Without it they are passed on as they came, and say what anybody likes.
    pub rewrite: bool,
}

/// By which request fields proxies tell of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedFields {
    /// By whichever of the two are there. A proxy that writes one and passes the other on as it came
    /// would let clients choose who they are; so if both are there and tell different clients, the
    /// request is refused (400), and so it is if neither names one and they do not say the same. If one
    /// alone names a client, the other is overlooked.
    #[default]
    Either,
    /// By `Forwarded` (RFC 7239) alone.
    Forwarded,
    /// By `X-Forwarded-For`, `-Proto` and `-Host` alone.
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

/// The word of proxies, and the way it is passed on.
#[derive(Debug)]
pub(crate) struct Forwarding(pub(crate) ForwardedParams);

/// What a request's proxies say of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<Authority>,
    /// Whether the peer is one whose word counts.
    pub(crate) by_proxy: bool,
    /// See [`ForwardedParams::rewrite`].
    rewrite: bool,
}

// === impl Forwarding ===

impl Forwarding {
    /// What is believed of what the request says of its way here, if it came from this address.
    ///
    /// # Errors
    ///
    /// 400 if a trusted proxy's fields are malformed or contradict each other.
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

    /// What a proxy that is believed says.
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

    /// Whether the address is a proxy's that is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// From the nearest proxy on, as far as each was told of by one that is trusted. Whoever hides
    /// whom it speaks for stands for it, and may say how it was asked all the same.
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
        // A proxy that says nothing of all that has written the field nevertheless, and not the other kind.
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
    /// What the one kind of field says with the other. Where only one of them names a client, a proxy wrote
    /// that, and the other is heeded for nothing: a client may have written it.
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
                "the `forwarded` and the `x-forwarded-*` fields tell different things: one kind was \
                 written by the proxy and the other passed on; let the proxy remove it, or name the one \
                 that counts in the settings"
                    .to_owned(),
            )),
        }
    }

    /// Tells the service of the client, in place of what came, if it is to be told. The URI is absolute.
    /// `introduction` is what all requests of the peer are introduced by that no proxy speaks for.
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

    /// The URI that the client asked for, with the `Host` field of the same host.
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
        "a proxy passed the request on with fields that contradict each other or are malformed",
    )
    .caused_by(problem)
}
