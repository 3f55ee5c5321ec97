//! What keeps web pages away from the admin listener.
//!
//! It asks nobody who they are, and a browser on the same machine reaches it. So a page of anybody's
//! could have it load again, by a form; or read it, by a name that it makes resolve to 127.0.0.1
//! (DNS rebinding). Browsers say `Origin` or `Sec-Fetch-Site` with what a page asks for, which
//! programs do not, and a rebound name stands in `Host`.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers 403 to what a page asks for.
pub(super) async fn refuse_pages(request: Request, next: Next) -> Response {
    match refusal(request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(ORIGIN) {
        return Some("web pages may not use this listener (the request has an `origin` field)");
    }
    // `none` is what a person typed into the address bar.
    let by_person = headers
        .get(SEC_FETCH_SITE)
        .is_none_or(|site| site == "none");
    if !by_person {
        return Some("web pages may not use this listener (see `sec-fetch-site`)");
    }
    let named = headers.get(HOST).is_some_and(|host| {
        let authority = Authority::try_from(host.as_bytes());
        !authority.is_ok_and(|authority| is_literal(authority.host()))
    });
    named.then_some("use an address or `localhost`: by another name a web page could come here")
}

fn is_literal(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn programs_and_people_may_and_pages_may_not() {
        for (fields, allowed) in [
            (&[][..], true),
            (&[("host", "127.0.0.1:9901")], true),
            (&[("host", "[::1]:9901")], true),
            (&[("host", "LocalHost:9901")], true),
            (&[("host", "localhost"), ("sec-fetch-site", "none")], true),
            (&[("host", "evil.example:9901")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "")], false),
            (&[("host", "127.0.0.1"), ("origin", "null")], false),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "same-origin")],
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(refusal(&headers).is_none(), allowed, "{fields:?}");
        }
    }
}
