//! A forward proxy between a service and its upstreams.
//!
//! The proxy resolves the names. The policy still applies to the names and addresses that the guest writes,
//! but not to what names resolve to.

use std::fmt;
use std::sync::Arc;

use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderMap, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// The environment variables that name a proxy, in upper or lower case.
const VARIABLES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The proxy of a service's outgoing requests, if it has one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Proxy(Option<Arc<Matcher>>);

/// The error of a proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
// Not the value: it may hold a password.
#[error(
    "{place} does not name a proxy: write it as http://[USER:PASSWORD@]HOST[:PORT], or https:// if the proxy \
     itself speaks TLS"
)]
pub struct ProxyError {
    place: String,
}

// === impl Proxy ===

impl Proxy {
    /// No proxy: every connection is made directly.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A proxy for everything except `no_proxy`: hosts (and all below them), addresses and networks,
    /// separated by commas, as in the variable `NO_PROXY`.
    ///
    /// # Errors
    ///
    /// Returns an error if `url` is not an `http` or `https` URL.
    pub fn new(url: &str, no_proxy: &str) -> Result<Self, ProxyError> {
        let matcher = Matcher::builder().all(url).no(no_proxy).build();
        // hyper-util ignores URLs that it cannot parse, and all connections would be direct.
        if !is_usable(url) {
            return Err(ProxyError {
                place: "the setting".to_owned(),
            });
        }
        Ok(Self(Some(Arc::new(matcher))))
    }

    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` from the environment, in upper or lower
    /// case.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable is set and names no usable proxy.
    pub fn from_env() -> Result<Self, ProxyError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Returns true if the environment names a proxy.
    #[must_use]
    pub fn is_in_env() -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        VARIABLES[..3]
            .iter()
            .any(|name| set(name) || set(&name.to_ascii_lowercase()))
    }

    fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let read = |name: &str| {
            let value = read(name).or_else(|| read(&name.to_ascii_lowercase()));
            value.unwrap_or_default()
        };
        let [http, https, all, no] = VARIABLES.map(read);
        for (name, value) in VARIABLES.iter().zip([&http, &https, &all]) {
            if !value.is_empty() && !is_usable(value) {
                return Err(ProxyError {
                    place: format!("the environment variable {name}"),
                });
            }
        }
        if http.is_empty() && https.is_empty() && all.is_empty() {
            return Ok(Self::none());
        }
        let builder = Matcher::builder().http(http).https(https).all(all).no(no);
        Ok(Self(Some(Arc::new(builder.build()))))
    }

    pub(crate) fn hop(&self, destination: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(destination)
    }

    /// Adds the proxy's credentials to a request whose head the proxy reads. For a tunnel they were sent when
    /// it was made, and the upstream must not see them.
    pub(crate) fn authorize(&self, destination: &Uri, headers: &mut HeaderMap) {
        if destination.scheme() != Some(&Scheme::HTTP) {
            return;
        }
        let Some(hop) = self.hop(destination) else {
            return;
        };
        headers.remove(PROXY_AUTHORIZATION);
        if let Some(authorization) = hop.basic_auth() {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }
}

fn is_usable(url: &str) -> bool {
    let matcher = Matcher::builder().all(url).build();
    let hop = matcher.intercept(&Uri::from_static("http://probe.example/"));
    hop.is_some_and(|hop| crate::target::Target::of(hop.uri()).is_ok())
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Its output has no passwords.
            Some(matcher) => matcher.fmt(f),
            None => f.write_str("Proxy(none)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn hop(proxy: &Proxy, to: &str) -> Option<String> {
        proxy.hop(&uri(to)).map(|hop| hop.uri().to_string())
    }

    #[test]
    fn a_proxy_is_for_all_but_what_is_excepted() {
        let proxy = Proxy::new("http://p.example:3128", "a.example, 10.0.0.0/8, ::1").unwrap();
        let by = Some("http://p.example:3128/".to_owned());
        for (to, expected) in [
            ("http://b.example/", &by),
            ("https://b.example/", &by),
            ("https://nota.example/", &by),
            ("https://a.example/", &None),
            ("https://x.a.example/", &None),
            ("http://10.1.2.3/", &None),
            ("http://11.1.2.3/", &by),
            ("http://[::1]/", &None),
        ] {
            assert_eq!(hop(&proxy, to), *expected, "{to}");
        }
        assert_eq!(hop(&Proxy::none(), "http://b.example/"), None);
    }

    #[test]
    fn what_names_no_proxy_is_refused_and_its_password_kept_quiet() {
        for url in [
            "",
            "p.example:x",
            "ftp://p.example",
            "socks5://user:secret@p.example",
            "http://user:secret@",
            "http://user:secret@p.example:99999",
        ] {
            let error = Proxy::new(url, "").unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let proxy = Proxy::new("http://user:secret@p.example", "").unwrap();
        assert!(!format!("{proxy:?}").contains("secret"));
    }

    #[test]
    fn the_environment_is_read_in_either_case_and_its_mistakes_are_named() {
        let env = |variables: &'static [(&str, &str)]| {
            Proxy::from_variables(move |name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let proxy = env(&[
            ("https_proxy", "http://s.example:1"),
            ("ALL_PROXY", "all.example:2"),
            ("no_proxy", "b.example"),
        ])
        .unwrap();
        assert_eq!(
            hop(&proxy, "https://a.example/").unwrap(),
            "http://s.example:1/"
        );
        assert_eq!(
            hop(&proxy, "http://a.example/").unwrap(),
            "http://all.example:2/"
        );
        assert_eq!(hop(&proxy, "http://b.example/"), None);

        assert_eq!(hop(&env(&[]).unwrap(), "http://a.example/"), None);
        let error = env(&[("HTTPS_PROXY", "socks5://s.example")]).unwrap_err();
        assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
    }

    #[test]
    fn the_password_goes_to_the_proxy_and_to_no_upstream() {
        let proxy = Proxy::new("http://me:a%20b@p.example", "direct.example").unwrap();
        let sent = |to: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(PROXY_AUTHORIZATION, HeaderValue::from_static("guest's"));
            proxy.authorize(&uri(to), &mut headers);
            headers[PROXY_AUTHORIZATION].to_str().unwrap().to_owned()
        };
        // me:a b
        assert_eq!(sent("http://a.example/"), "Basic bWU6YSBi");
        assert_eq!(sent("https://a.example/"), "guest's");
        assert_eq!(sent("http://direct.example/"), "guest's");
    }
}
