//! The fields that tell services about a client's certificate.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The client's certificate (RFC 9440), also the prefix of `client-cert-chain`.
pub(super) const CLIENT_CERT: &str = "client-cert";
/// The prefix of the other fields about the certificate.
pub(super) const X_CLIENT_CERT: &str = "x-client-cert";
const X_CLIENT_CERT_SUBJECT: &str = "x-client-cert-subject";

/// A verified client certificate.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    der: Vec<u8>,
    /// The subject, as RFC 4514 writes it.
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

    /// Adds the fields for a service. The client's own were removed before.
    pub(crate) fn introduce(&self, headers: &mut HeaderMap) {
        let [certificate, subject] = self.fields.get_or_init(|| {
            // A byte sequence of structured fields (RFC 8941 3.3.5).
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

/// Makes a field value of any text; escapes other characters as RFC 4514 (2.4) does.
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
