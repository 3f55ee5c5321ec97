//! What proxies say of clients, and what services are told.

use ipnet::IpNet;

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
    /// request is refused (400).
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
