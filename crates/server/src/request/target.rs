//! The target of a request: its absolute URI.

use std::net::Ipv6Addr;
use std::sync::OnceLock;

use headwater_core::Fault;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

/// The maximum of an invalid `Host` field that is logged, in bytes: more than any name has.
const LONGEST_TOLD: usize = 256;

/// The scheme of a connection, and the authority of requests without a `Host` field.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The first authority that a `Host` field named; most connections name only one.
    asked: OnceLock<Authority>,
}

impl Origin {
    pub(crate) fn new(scheme: Scheme, authority: Authority) -> Self {
        Self {
            scheme,
            authority,
            asked: OnceLock::new(),
        }
    }
}

/// Refuses targets that only a proxy serves (RFC 9112 3.2) with a 400.
pub(crate) fn check_form(method: &Method, uri: &Uri) -> Result<(), Fault> {
    let problem = match (uri.scheme(), uri.authority()) {
        // Only CONNECT has this form (RFC 9112 3.2.3), and what follows may be meant for a tunnel.
        (None, Some(_)) => "has a target that is neither a path nor a URL",
        (Some(scheme), _) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => {
            "has a target whose scheme is not http or https"
        }
        _ if is_of_server(uri) && *method != Method::OPTIONS => {
            "has the target `*`, which only OPTIONS may have"
        }
        _ => return Ok(()),
    };
    Err(refused("bad_target", problem))
}

/// Returns true if the target is `*`, the server as a whole.
pub(crate) fn is_of_server(uri: &Uri) -> bool {
    uri.path() == "*"
}

/// Makes the request's URI absolute: the scheme of the connection, and the authority of the request target or
/// else of the `Host` field (RFC 9112 3.2 and 3.3, RFC 9113 8.3.1). Ignores the target's scheme: proxies pass
/// on `https` over plain-text connections.
///
/// # Errors
///
/// Returns a 400 for a `Host` field that is missing (HTTP/1.1 and 2), doubled or not an authority. The URI
/// then stays as it was, for the logs.
pub(crate) fn establish(
    version: Version,
    uri: &mut Uri,
    headers: &mut HeaderMap,
    origin: &Origin,
) -> Result<(), Fault> {
    let host = single_host(headers)?;
    // `None` keeps the target's own authority.
    let authority = match (uri.authority(), host) {
        // An HTTP/1.1 request without `Host` is malformed, whatever its target.
        (Some(_), None) if version == Version::HTTP_11 => {
            return Err(bad_host("has no host field"));
        }
        (Some(authority), host) => {
            if !is_valid(authority) {
                return Err(bad_host("has a malformed host field"));
            }
            // The target wins, and nothing behind the front may see the other (RFC 9112 3.2.2).
            if host.is_some_and(|host| host.as_bytes() != authority.as_str().as_bytes())
                && let Ok(value) = HeaderValue::from_str(authority.as_str())
            {
                headers.insert(HOST, value);
            }
            None
        }
        (None, Some(host)) => Some(match origin.asked.get() {
            Some(asked) if asked.as_str().as_bytes() == host.as_bytes() => asked.clone(),
            _ => {
                let malformed = || {
                    let text = host.as_bytes();
                    let text = &text[..text.len().min(LONGEST_TOLD)];
                    bad_host("has a malformed host field")
                        .caused_by(text.escape_ascii().to_string())
                };
                let authority = Authority::try_from(host.as_bytes()).map_err(|_| malformed())?;
                if !is_valid(&authority) {
                    return Err(malformed());
                }
                let _ = origin.asked.set(authority.clone());
                authority
            }
        }),
        (None, None) if version <= Version::HTTP_10 => Some(origin.authority.clone()),
        (None, None) => return Err(bad_host("has no host field")),
    };

    let mut parts = std::mem::take(uri).into_parts();
    parts.scheme = Some(origin.scheme.clone());
    if authority.is_some() {
        parts.authority = authority;
    }
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    *uri = Uri::from_parts(parts)
        .map_err(|error| bad_host("has a malformed target").caused_by(error))?;
    Ok(())
}

fn single_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Fault> {
    let mut values = headers.get_all(HOST).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(bad_host("has more than one host field"));
    }
    Ok(first)
}

/// Returns false for authorities that the `http` crate accepts and the grammar of `Host` does not: user
/// information, an empty host, brackets without an IPv6 address, an invalid port. (No other version of
/// bracketed addresses exists.)
pub(crate) fn is_valid(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host = authority.host();
    let port = text.get(host.len()..).unwrap_or_default();
    let host_is_valid = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty(),
    };
    let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    host_is_valid && !text.contains('@') && port_is_valid
}

/// Returns true for an empty port or digits. `parse` alone would also accept a sign.
fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || is_number && text.parse::<u16>().is_ok()
}

/// The fault of a path that does not fit into a field or URI.
pub(crate) fn bad_path(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    let problem = "the request's path cannot be passed on";
    Fault::client(StatusCode::BAD_REQUEST, "bad_path", problem).caused_by(error)
}

fn bad_host(problem: &'static str) -> Fault {
    refused("bad_host", problem)
}

fn refused(kind: &'static str, problem: &'static str) -> Fault {
    Fault::client(
        StatusCode::BAD_REQUEST,
        kind,
        format!("the request {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn establish_from(
        version: Version,
        target: &str,
        hosts: &[&str],
    ) -> (Result<String, StatusCode>, Option<String>) {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let origin = Origin::new(Scheme::HTTP, Authority::from_static("127.0.0.1:8080"));
        let mut uri = target.parse().unwrap();
        let established = establish(version, &mut uri, &mut headers, &origin);
        if established.is_err() {
            assert_eq!(uri, target, "what is refused is left as it came");
        }
        (
            established
                .map(|()| uri.to_string())
                .map_err(|fault| fault.status()),
            headers
                .get(HOST)
                .map(|value| value.to_str().unwrap().to_owned()),
        )
    }

    #[test]
    fn the_authority_is_the_target_s_or_else_the_host_field_s() {
        const H10: Version = Version::HTTP_10;
        const H11: Version = Version::HTTP_11;
        const H2: Version = Version::HTTP_2;
        let bad = Err(StatusCode::BAD_REQUEST);
        for (version, target, hosts, expected) in [
            (
                H11,
                "/a?b=c",
                &["x.example"][..],
                Ok("http://x.example/a?b=c"),
            ),
            (H11, "/", &["x.example:81"], Ok("http://x.example:81/")),
            (H11, "/", &["[::1]:81"], Ok("http://[::1]:81/")),
            (
                H11,
                "http://y.example/a",
                &["x.example"],
                Ok("http://y.example/a"),
            ),
            (
                H11,
                "https://y.example",
                &["y.example"],
                Ok("http://y.example/"),
            ),
            (H11, "http://y.example/a", &[], bad),
            (H11, "/", &[], bad),
            (H11, "/", &[""], bad),
            (H11, "/", &["a", "a"], bad),
            (H11, "/", &["a b"], bad),
            (H11, "/", &["a/b"], bad),
            (H11, "/", &["user@a"], bad),
            (H11, "/", &["a:port"], bad),
            (H11, "/", &["a:99999"], bad),
            (H11, "/", &["a:+80"], bad),
            (H11, "/", &["[zz]"], bad),
            (H11, "/", &["[::1"], bad),
            (H11, "/", &["[::1]80"], bad),
            (H11, "/", &["[127.0.0.1]"], bad),
            (H11, "/", &["a:"], Ok("http://a:/")),
            (H11, "/", &[":80"], bad),
            (H11, "http://user@a/", &["a"], bad),
            (H10, "/a", &[], Ok("http://127.0.0.1:8080/a")),
            (H10, "/a", &["x.example"], Ok("http://x.example/a")),
            (H2, "http://x.example/a", &[], Ok("http://x.example/a")),
            (H2, "/a", &["x.example"], Ok("http://x.example/a")),
            (H2, "/a", &[], bad),
        ] {
            let (uri, _) = establish_from(version, target, hosts);
            assert_eq!(
                uri,
                expected.map(str::to_owned),
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn a_host_field_that_contradicts_the_target_is_replaced() {
        let (uri, host) = establish_from(
            Version::HTTP_11,
            "http://real.example/a",
            &["forged.example"],
        );
        assert_eq!(uri.as_deref(), Ok("http://real.example/a"));
        assert_eq!(host.as_deref(), Some("real.example"));
    }

    #[test]
    fn a_target_is_a_path_or_a_url_of_the_web_and_the_server_as_a_whole_is_asked_for_options() {
        for (method, target, is_target) in [
            (Method::GET, "/a", true),
            (Method::GET, "http://a.example/a", true),
            (Method::GET, "HTTPS://a.example/a", true),
            (Method::OPTIONS, "*", true),
            (Method::GET, "*", false),
            (Method::GET, "a.example:80", false),
            (Method::GET, "sub", false),
            (Method::OPTIONS, "sub", false),
            (Method::GET, "ftp://a.example/a", false),
        ] {
            let checked = check_form(&method, &target.parse().unwrap());
            assert_eq!(checked.is_ok(), is_target, "{method} {target}");
        }
    }
}
