//! Chooses the certificate for a client.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::params::UnknownNames;

/// Certificates by the names that clients ask for (SNI, RFC 6066).
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// The key is the part after `*.`, which stands for one label (RFC 9525 6.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
    unknown: UnknownNames,
}

// === impl Names ===

impl Names {
    pub(super) fn new(unknown: UnknownNames) -> Self {
        Self {
            unknown,
            ..Self::default()
        }
    }

    /// Adds a certificate for these names, or else its own. The first certificate for a name wins.
    pub(super) fn add(&mut self, given: &[String], key: Arc<CertifiedKey>) {
        let own = match given {
            [] => names_in(&key),
            _ => given.to_vec(),
        };
        for name in own {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => self.wildcard.entry(rest.to_owned()),
                None => self.exact.entry(name),
            }
            .or_insert_with(|| Arc::clone(&key));
        }
        self.first.get_or_insert(key);
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.exact.get(&name).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.wildcard.get(rest)
        })
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        match self.unknown {
            UnknownNames::Default => named.or(self.first.as_ref()).cloned(),
            UnknownNames::Refuse => named.cloned(),
        }
    }
}

/// Returns the DNS names in a certificate. One without any is used only if it is the first.
fn names_in(key: &CertifiedKey) -> Vec<String> {
    let parsed = key
        .cert
        .first()
        .and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, certificate)) = parsed else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
