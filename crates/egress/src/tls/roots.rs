//! The default root certificates.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use tokio::sync::OnceCell;

use crate::EgressError;

/// The root certificates that vouch for upstreams. Clones are cheap and share what was read.
#[derive(Clone)]
pub struct TlsRoots(Arc<Source>);

enum Source {
    /// The machine's, read on first use: a service without TLS does not wait for some hundred files.
    Machine(OnceCell<Arc<RootCertStore>>),
    Given(Arc<RootCertStore>),
}

// === impl TlsRoots ===

impl TlsRoots {
    /// The machine's roots, read once, when TLS is first used.
    #[must_use]
    pub fn machine() -> Self {
        Self(Arc::new(Source::Machine(OnceCell::new())))
    }

    /// Only these roots.
    #[must_use]
    pub fn given(roots: RootCertStore) -> Self {
        Self(Arc::new(Source::Given(Arc::new(roots))))
    }

    pub(super) async fn get(&self) -> Result<Arc<RootCertStore>, EgressError> {
        match &*self.0 {
            Source::Given(roots) => Ok(Arc::clone(roots)),
            Source::Machine(cell) => cell
                .get_or_try_init(|| async {
                    tokio::task::spawn_blocking(read_machine_roots)
                        .await
                        .map_err(|error| EgressError::NoRoots(Arc::new(error)))?
                })
                .await
                .cloned(),
        }
    }
}

impl Default for TlsRoots {
    fn default() -> Self {
        Self::machine()
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Source::Machine(_) => "TlsRoots(machine)",
            Source::Given(_) => "TlsRoots(given)",
        })
    }
}

fn read_machine_roots() -> Result<Arc<RootCertStore>, EgressError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Machines have certificates that no verifier can read; the others still work.
    let (added, _unreadable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let error = found.errors.into_iter().next();
        return Err(EgressError::NoRoots(match error {
            Some(error) => Arc::new(error),
            None => Arc::new(rustls::Error::General("no certificate found".into())),
        }));
    }
    Ok(Arc::new(roots))
}
