//! Whom a request is for: its absolute URI.

use std::net::Ipv6Addr;
use std::sync::OnceLock;

use headwater_core::Fault;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

/// How much of a `Host` field that is none the log tells, in bytes: more than any name has.
const LONGEST_TOLD: usize = 256;

/// What a request without a `Host` field falls back to, and by which scheme it came.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// Of a connection, the first that a `Host` field named: hardly ever does one name another.
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

/// Refuses what is no target for a server that is no proxy (RFC 9112 3.2).
///
/// # Errors
///
/// 400.
pub(crate) fn check_form(method: &Method, uri: &Uri) -> Result<(), Fault> {
    let problem = match (uri.scheme(), uri.authority()) {
        // That is CONNECT's alone (RFC 9112 3.2.3), and what is sent after it might be meant for a tunnel.
        (None, Some(_)) => "has a target that is neither a path nor a URL",
        (Some(scheme), _) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => {
            "has a target of another scheme than http and https"
        }
        _ if is_of_server(uri) && *method != Method::OPTIONS => {
            "has the target `*`, which is for OPTIONS alone"
        }
        _ => return Ok(()),
    };
    Err(refused("bad_target", problem))
}

/// Whether the target is `*`: the server as a whole.
pub(crate) fn is_of_server(uri: &Uri) -> bool {
    uri.path() == "*"
}

/// Makes the request's URI absolute: the scheme of the connection, the authority of the request
/// target or else of the `Host` field (RFC 9112 3.2 and 3.3, RFC 9113 8.3.1). The scheme of the target does
/// not count: proxies pass `https` on over connections in clear.
///
/// # Errors
///
/// 400 for a `Host` field that is missing (HTTP/1.1 and 2), doubled or not an authority. The URI is then as
/// it was, for the logs to tell.
pub(crate) fn establish(
    version: Version,
    uri: &mut Uri,
    headers: &mut HeaderMap,
    origin: &Origin,
) -> Result<(), Fault> {
    let host = single_host(headers)?;
    // None: its own.
    let authority = match (uri.authority(), host) {
        // An HTTP/1.1 request without `Host` is malformed whatever its target says.
        (Some(_), None) if version == Version::HTTP_11 => {
            return Err(bad_host("has no host field"));
        }
        (Some(authority), host) => {
            if !is_valid(authority) {
                return Err(bad_host("has a malformed host field"));
            }
            // The target wins, and nobody behind the front shall see the other (RFC 9112 3.2.2).
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
                // No more than the first is remembered.
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

/// Whether it is none of what the `http` crate lets through and the grammar of `Host` does not: user
/// information, an empty host, an address in brackets that is none, a port that is no port. (There is no
/// other version of addresses in brackets than that of IPv6.)
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

/// None at all, or digits: a sign is no part of a port.
fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || is_number && text.parse::<u16>().is_ok()
}

/// What a path is refused for that no field or URI can have.
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
