//! Removes the fields that services do not get as received.

use http::header::{HeaderMap, HeaderName, HeaderValue, TE};

use crate::request::certificate::{CLIENT_CERT, X_CLIENT_CERT};

/// The prefix of the fields with the texts of wildcards; the wildcard's name follows.
pub(crate) const ROUTE_FIELDS: &str = "headwater-route-";

/// The only word of `TE` that matters to services: trailers are accepted.
const TRAILERS: &str = "trailers";

/// Removes fields that services must be able to trust, and those about the connection (RFC 9110 7.6.1), such
/// as `Upgrade`, which a service might otherwise act on.
///
/// Fields that `Connection` names stay: clients could remove fields that a proxy has added.
pub(crate) fn remove(headers: &mut HeaderMap) {
    // Few requests have any, and one scan is faster than a search for each name.
    while let Some(withheld) = headers
        .iter()
        .find(|(name, value)| is_withheld(name, value))
        .map(|(name, _)| name.clone())
    {
        let trailers = withheld == TE && headers.get_all(TE).iter().any(takes_trailers);
        headers.remove(withheld);
        if trailers {
            headers.insert(TE, HeaderValue::from_static(TRAILERS));
        }
    }
}

fn is_withheld(name: &HeaderName, value: &HeaderValue) -> bool {
    match name.as_str() {
        "connection" | "upgrade" | "keep-alive" | "proxy-connection" | "transfer-encoding"
        | "http2-settings" => true,
        "te" => value != TRAILERS,
        name if name.contains('_') => is_alias(&name.replace('_', "-")),
        name => is_the_front_s(name),
    }
}

fn is_the_front_s(name: &str) -> bool {
    [ROUTE_FIELDS, CLIENT_CERT, X_CLIENT_CERT]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Returns true if a name with `_` stands for one that the front sets, removes or reads: where fields become
/// variables, as in CGI, the two are the same. Otherwise the client's value would count where the front sets
/// none, and `Content_Length` would pass as the body's length.
fn is_alias(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["content-", "proxy-", "x-forwarded-"];
    const NAMES: [&str; 4] = [
        "cdn-loop",
        "http2-settings",
        "keep-alive",
        "transfer-encoding",
    ];
    is_the_front_s(name)
        || name == "x-request-id"
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || NAMES.contains(&name)
}

fn takes_trailers(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',')
        .any(|word| word.trim().eq_ignore_ascii_case(TRAILERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_connection_and_what_only_the_front_may_say_is_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "upgrade, close, x-user"),
            ("connection", "cdn-loop"),
            ("upgrade", "h2c, websocket"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("client-cert", ":AA==:"),
            ("x-client-cert-subject", "CN=root"),
            ("headwater-route-id", "1"),
            ("client_cert", ":AA==:"),
            ("x_client-cert_subject", "CN=root"),
            ("headwater_route_id", "1"),
            ("x_forwarded_prefix", "/evil"),
            ("x-request_id", "1"),
            ("content_length", "9"),
            ("content_type", "text/evil"),
            ("transfer_encoding", "chunked"),
            ("keep_alive", "timeout=5"),
            ("proxy_authorization", "Basic AA=="),
            ("cdn_loop", "a"),
            ("x_other", "1"),
            ("te", "gzip"),
            ("te", "Trailers;q=0.5, trailers"),
            ("x-user", "1"),
            ("cdn-loop", "a"),
            ("content-length", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["cdn-loop", "content-length", "te", "x-user", "x_other"]
        );
        let te: Vec<_> = headers.get_all(TE).iter().collect();
        assert_eq!(te, ["trailers"]);

        let mut headers = HeaderMap::new();
        headers.append(TE, HeaderValue::from_static("gzip"));
        remove(&mut headers);
        assert!(headers.is_empty());
    }
}
