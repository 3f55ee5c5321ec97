//! The other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::clients::ClientShare;
use crate::request::forwarded::Client;
use crate::request::target::Origin;
use crate::routing::route::Route;

/// The client's certificate (RFC 9440); `client-cert-chain` begins so as well.
pub(crate) const CLIENT_CERT: &str = "client-cert";
/// What begins so tells of the certificate.
pub(crate) const X_CLIENT_CERT: &str = "x-client-cert";
/// The certificate's subject, as text.
const X_CLIENT_CERT_SUBJECT: &str = "x-client-cert-subject";

/// Who is at the other end of a connection, and what requests that come by it have in common.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address: that of the socket, or what a PROXY header says. None for a Unix-domain
    /// socket.
    pub(crate) client: Option<SocketAddr>,
    /// Its part in what the client has open, unless that is counted for each request alone.
    pub(crate) share: Option<Arc<ClientShare>>,
    /// The address that was connected to. None for a Unix-domain socket.
    pub(crate) local: Option<SocketAddr>,
    /// The scheme, and whom a request is for that does not say it.
    pub(crate) origin: Origin,
    /// The certificate that the client showed, if it was verified.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// What services are told of it, from the first request on.
    pub(crate) introduction: OnceLock<Client>,
    /// What the route of its first request is called.
    pub(crate) names: OnceLock<Names>,
}

/// The names of a route, in a copy of one connection's own: each request holds them, and threads that
/// count at one place how many do wait for each other.
#[derive(Debug)]
pub(crate) struct Names {
    of: [Arc<str>; 2],
    own: [Arc<str>; 2],
}

/// A client's certificate that was verified.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// The certificate, in DER.
    pub(crate) der: Vec<u8>,
    /// Whom it is for, as RFC 4514 writes it.
    pub(crate) subject: String,
    fields: OnceLock<[HeaderValue; 2]>,
}

/// An address of IPv4 as such, also where it came by a socket of IPv6 (`::ffff:192.0.2.1`).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

// === impl Peer ===

impl Peer {
    /// What the service and the pattern of a route are called.
    pub(crate) fn names<'a>(&'a self, route: &'a Route) -> [&'a Arc<str>; 2] {
        let of = [&route.service, &route.pattern];
        let names = self.names.get_or_init(|| Names {
            of: of.map(Arc::clone),
            own: of.map(|name| Arc::from(&**name)),
        });
        let are_these = names
            .of
            .iter()
            .zip(of)
            .all(|(one, other)| Arc::ptr_eq(one, other));
        match are_these {
            true => names.own.each_ref(),
            // No more than the first are remembered.
            false => of,
        }
    }
}

// === impl ClientCertificate ===

impl ClientCertificate {
    pub(crate) fn new(der: Vec<u8>, subject: String) -> Self {
        Self {
            der,
            subject,
            fields: OnceLock::new(),
        }
    }

    /// Tells a service of it, in fields that were taken from what the client sent.
    pub(crate) fn introduce(&self, headers: &mut HeaderMap) {
        let [certificate, subject] = self.fields.get_or_init(|| {
            // A byte sequence as structured fields have it (RFC 8941 3.3.5).
            let certificate = format!(":{}:", STANDARD.encode(&self.der));
            [text(&certificate), text(&self.subject)]
        });
        headers.insert(HeaderName::from_static(CLIENT_CERT), certificate.clone());
        headers.insert(
            HeaderName::from_static(X_CLIENT_CERT_SUBJECT),
            subject.clone(),
        );
    }
}

/// A field's value of any text: what no field may have is escaped as RFC 4514 (2.4) does it.
fn text(text: &str) -> HeaderValue {
    let mut bytes = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' | 0x80.. => bytes.push(byte),
            _ => bytes.extend_from_slice(format!("\\{byte:02X}").as_bytes()),
        }
    }
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_in_base64_and_its_subject_as_a_field_may_have_it() {
        let certificate = ClientCertificate::new(vec![0, 255, 7], "CN=é\r\nx-forged: 1".to_owned());
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            certificate.introduce(&mut headers);
        }
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["client-cert"], ":AP8H:");
        assert_eq!(
            headers["x-client-cert-subject"].as_bytes(),
            "CN=é\\0D\\0Ax-forged: 1".as_bytes()
        );
    }
}
