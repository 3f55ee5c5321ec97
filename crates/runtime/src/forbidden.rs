use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter};

/// The header fields that a guest may neither set nor see, in headers and trailers.
///
/// `wasi:http` has the error `header-error.forbidden` and lets hosts choose the fields. The default is
/// wasmtime-wasi-http's list: the fields that apply to a single connection, and `host`, which the host
/// sets.
#[derive(Clone)]
pub struct ForbiddenHeaders(ForbiddenHeaderFilter);

/// A field that cannot be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be allowed: it belongs to the connection, and only the host sets it; only \
     `proxy-authorization` and `proxy-authenticate` can be allowed"
)]
pub struct NotAllowed(HeaderName);

// === impl ForbiddenHeaders ===

impl ForbiddenHeaders {
    /// Returns the default list with some fields added and some removed.
    ///
    /// # Errors
    ///
    /// Returns an error if a guest could use an allowed field to desynchronise a connection, or to set
    /// another `host` than it was granted.
    pub fn with(forbidden: &[HeaderName], allowed: &[HeaderName]) -> Result<Self, NotAllowed> {
        let mut list = DEFAULT_FORBIDDEN_HEADERS.to_vec();
        for name in allowed {
            if ![PROXY_AUTHORIZATION, PROXY_AUTHENTICATE].contains(name) && list.contains(name) {
                return Err(NotAllowed(name.clone()));
            }
            list.retain(|has| has != name);
        }
        list.extend_from_slice(forbidden);
        Ok(Self(Arc::new(move |name| list.contains(name))))
    }

    pub(crate) fn filter(&self) -> ForbiddenHeaderFilter {
        Arc::clone(&self.0)
    }
}

impl Default for ForbiddenHeaders {
    fn default() -> Self {
        Self(Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)))
    }
}

impl fmt::Debug for ForbiddenHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForbiddenHeaders")
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE, HOST, TRANSFER_ENCODING};

    use super::*;

    #[test]
    fn the_list_can_be_made_longer_and_shorter() {
        let forbidden = ForbiddenHeaders::with(&[COOKIE], &[PROXY_AUTHORIZATION]).unwrap();
        let is_forbidden = forbidden.filter();
        for (name, expected) in [
            (COOKIE, true),
            (HOST, true),
            (PROXY_AUTHENTICATE, true),
            (PROXY_AUTHORIZATION, false),
            (AUTHORIZATION, false),
        ] {
            assert_eq!(is_forbidden(&name), expected, "{name}");
        }
    }

    #[test]
    fn what_frames_a_message_or_names_its_host_cannot_be_allowed() {
        for name in [TRANSFER_ENCODING, HOST] {
            let refused = ForbiddenHeaders::with(&[], std::slice::from_ref(&name));
            assert_eq!(refused.unwrap_err(), NotAllowed(name));
        }
    }
}
