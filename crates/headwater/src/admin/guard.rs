//! Access to the admin listener.
//!
//! If a token is set, requests must carry it. Without a token nothing authenticates them, and a
//! browser on the same machine reaches the listener: any web page could reload the host with a
//! form, or read from it by a name that it makes resolve to 127.0.0.1 (DNS rebinding). Browsers
//! send `Origin` or `Sec-Fetch-Site` with a page's requests, which programs do not, and a rebound
//! name is in `Host`. So requests with these signs are refused, unless the page came from the
//! listener itself, or from a proxy in front of it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::{Authority, Scheme, Uri};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headwater_config::Secret;
use headwater_server::VirtualHost;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Clone)]
pub(super) enum Guard {
    Token(Token),
    /// The request does not come from a page of another origin. These names may be in `Host`,
    /// besides addresses.
    Pages(Arc<[VirtualHost]>),
}

/// The hash of a token, so that comparisons are of equal length.
#[derive(Clone)]
pub(super) struct Token([u8; 32]);

#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    NoToken,
    WrongToken,
    /// A page of another origin may have sent the request.
    Page(&'static str),
}

pub(super) async fn refuse(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(token: Option<&Secret>, hosts: &[VirtualHost]) -> Self {
        match token {
            Some(token) => Self::Token(Token::new(token.reveal())),
            None => Self::pages(hosts),
        }
    }

    pub(super) fn pages(hosts: &[VirtualHost]) -> Self {
        Self::Pages(hosts.into())
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            // Pages do not have the token, and browsers do not add it by themselves.
            Self::Token(token) => token.check(headers),
            Self::Pages(hosts) => check_page(hosts, uri, headers).map_err(Refusal::Page),
        }
    }
}

fn check_page(hosts: &[VirtualHost], uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let host = match (uri.authority(), headers.get(HOST)) {
        (Some(authority), _) => Some(Ok(authority.clone())),
        (None, host) => host.map(|host| Authority::try_from(host.as_bytes())),
    };
    let host = host
        .transpose()
        .map_err(|_| "the request has a malformed `host` field")?;
    if host.as_ref().is_some_and(|host| !is_allowed(host, hosts)) {
        return Err(
            "this listener does not know this host name, which a web page could use to reach it: use an \
             address or `localhost`, or add the name to `hosts` of `[admin]`",
        );
    }
    // Browsers send `none` for an address that a person typed.
    let is_own = headers
        .get(SEC_FETCH_SITE)
        .is_none_or(|site| site == "none" || site == "same-origin");
    if !is_own {
        return Err("web pages of other origins may not use this listener (see `sec-fetch-site`)");
    }
    match headers.get(ORIGIN) {
        Some(origin) if !is_origin_of(origin, host.as_ref()) => Err(
            "web pages of other origins may not use this listener (`origin` differs from `host`)",
        ),
        _ => Ok(()),
    }
}

fn is_allowed(host: &Authority, hosts: &[VirtualHost]) -> bool {
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host.clone())
        .path_and_query("/")
        .build();
    uri.is_ok_and(|uri| hosts.iter().any(|host| host.matches(&uri)))
}

/// Returns true if a page came from this host. Behind a proxy that terminates TLS, its origin
/// begins with `https`.
fn is_origin_of(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok();
    let origin = origin.and_then(|origin| {
        let http = origin.strip_prefix("http://");
        http.or_else(|| origin.strip_prefix("https://"))
    });
    match (origin, host) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(host.as_str()),
        _ => false,
    }
}

// === impl Token ===

impl Token {
    fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Checks the token as RFC 6750 (2.1) defines it.
    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(Refusal::NoToken);
        };
        let (scheme, token) = field
            .to_str()
            .ok()
            .and_then(|field| field.split_once(' '))
            .ok_or(Refusal::NoToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::NoToken);
        }
        match bool::from(self.0.ct_eq(&Self::new(token.trim()).0)) {
            true => Ok(()),
            false => Err(Refusal::WrongToken),
        }
    }
}

// === impl Refusal ===

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // RFC 6750 3.
        let challenge = match self {
            Self::NoToken => "Bearer realm=\"headwater admin\"",
            Self::WrongToken => "Bearer realm=\"headwater admin\", error=\"invalid_token\"",
            Self::Page(why) => return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        };
        (
            StatusCode::UNAUTHORIZED,
            [(WWW_AUTHENTICATE, challenge)],
            "this listener requires its token: `authorization: Bearer TOKEN`\n",
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        fields.collect()
    }

    #[test]
    fn programs_and_people_and_its_own_pages_may_and_pages_of_others_may_not() {
        let hosts = ["admin.example", "*.svc.local:9901"].map(|host| host.parse().unwrap());
        let guard = Guard::pages(&hosts);
        for (fields, allowed) in [
            (&[][..], true),
            (&[("host", "127.0.0.1:9901")], true),
            (&[("host", "[::1]:9901")], true),
            (&[("host", "LocalHost:9901")], true),
            (&[("host", "localhost"), ("sec-fetch-site", "none")], true),
            (&[("host", "admin.example:80")], true),
            (&[("host", "a.svc.local:9901")], true),
            (&[("host", "a.svc.local")], false),
            (&[("host", "evil.example:9901")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "")], false),
            (&[("host", "a b")], false),
            (&[("host", "127.0.0.1"), ("origin", "null")], false),
            (
                &[("host", "127.0.0.1"), ("origin", "http://evil.example")],
                false,
            ),
            (
                &[
                    ("host", "127.0.0.1:9901"),
                    ("origin", "http://127.0.0.1:3000"),
                ],
                false,
            ),
            (
                &[
                    ("host", "127.0.0.1:9901"),
                    ("origin", "http://127.0.0.1:9901"),
                ],
                true,
            ),
            (
                &[
                    ("host", "admin.example"),
                    ("origin", "https://admin.example"),
                    ("sec-fetch-site", "same-origin"),
                ],
                true,
            ),
            // A rebound name: to the browser, the page is of the same origin.
            (
                &[
                    ("host", "evil.example:9901"),
                    ("origin", "http://evil.example:9901"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
            (&[("origin", "http://127.0.0.1:9901")], false),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "same-site")],
                false,
            ),
            (
                &[("host", "127.0.0.1"), ("sec-fetch-site", "same-origin")],
                true,
            ),
        ] {
            let checked = guard.check(&Uri::from_static("/"), &headers(fields));
            assert_eq!(checked.is_ok(), allowed, "{fields:?}");
        }
        let absolute = Uri::from_static("http://evil.example/");
        let checked = guard.check(&absolute, &headers(&[("host", "127.0.0.1")]));
        assert!(checked.is_err());
    }

    #[test]
    fn who_has_the_token_may_by_whichever_name_and_nobody_else() {
        let guard = Guard::Token(Token::new("s3cret"));
        let check =
            |fields: &[(&'static str, &str)]| guard.check(&Uri::from_static("/"), &headers(fields));
        for (fields, expected) in [
            (&[("authorization", "Bearer s3cret")][..], Ok(())),
            (
                &[("authorization", "bearer  s3cret"), ("host", "a.example")],
                Ok(()),
            ),
            (&[], Err(Refusal::NoToken)),
            (&[("authorization", "Basic s3cret")], Err(Refusal::NoToken)),
            (&[("authorization", "s3cret")], Err(Refusal::NoToken)),
            (&[("authorization", "Bearer")], Err(Refusal::NoToken)),
            (
                &[("authorization", "Bearer s3cre")],
                Err(Refusal::WrongToken),
            ),
            (
                &[("authorization", "Bearer s3crets")],
                Err(Refusal::WrongToken),
            ),
            (&[("authorization", "Bearer ")], Err(Refusal::WrongToken)),
        ] {
            assert_eq!(check(fields), expected, "{fields:?}");
        }
        let mut twice = headers(&[("authorization", "Bearer s3cret")]);
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        assert_eq!(
            guard.check(&Uri::from_static("/"), &twice),
            Err(Refusal::NoToken)
        );
    }
}
