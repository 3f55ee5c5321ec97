//! The subject of a client's certificate.

use std::fmt::Write;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

use crate::request::certificate::ClientCertificate;

pub(super) fn client_certificate(der: &CertificateDer<'_>) -> Option<Arc<ClientCertificate>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let subject = distinguished_name(parsed.subject());
    Some(Arc::new(ClientCertificate::new(der.to_vec(), subject)))
}

/// Writes a name as RFC 4514 does: the last part first, special characters escaped.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts = name.iter_rdn().map(|part| {
        let attributes: Vec<_> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    // RFC 4514 (3) has short names for these; all others are written by number.
    let short = oid2abbrev(oid, oid_registry())
        .ok()
        .filter(|short| ["CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID"].contains(short));
    match (short, attribute.as_str()) {
        (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
        (None, Ok(value)) => format!("{}={}", oid.to_id_string(), escaped(value)),
        // A value that is not text: its bytes (RFC 4514 2.4).
        (_, Err(_)) => {
            let mut text = format!("{}=#", oid.to_id_string());
            for byte in attribute.as_slice() {
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
    }
}

/// Escapes as in RFC 4514 (2.4), also control characters, which fields cannot hold, and non-ASCII ones.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_have_more_parts_or_lines() {
        assert_eq!(escaped("a,CN=root"), "a\\,CN=root");
        assert_eq!(escaped(" x "), "\\ x\\ ");
        assert_eq!(escaped("#1\r\n"), "\\#1\\0D\\0A");
        assert_eq!(escaped("é"), "\\C3\\A9");
    }
}
