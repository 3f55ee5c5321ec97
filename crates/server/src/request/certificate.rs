//! The certificate that a client showed.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The client's certificate (RFC 9440); `client-cert-chain` begins so as well.
pub(super) const CLIENT_CERT: &str = "client-cert";
/// What begins so tells of the certificate.
pub(super) const X_CLIENT_CERT: &str = "x-client-cert";
/// The certificate's subject, as text.
const X_CLIENT_CERT_SUBJECT: &str = "x-client-cert-subject";

/// A client's certificate that was verified.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// The certificate, in DER.
    der: Vec<u8>,
    /// Whom it is for, as RFC 4514 writes it.
    subject: String,
    fields: OnceLock<[HeaderValue; 2]>,
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
