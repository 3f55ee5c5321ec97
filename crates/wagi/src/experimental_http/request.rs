//! A request as the guest describes it, and its redirects.

use bytes::Bytes;
use headwater_core::{Attribution, Body, RequestScope, Witness, empty, full};
use headwater_egress::{Egress, EgressError, SendOptions};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use url::Url;

use super::Code;

/// The maximum number of redirects: as many as WAGI's client followed.
const MOST_REDIRECTS: usize = 10;

#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Wanted {
    pub(super) fn new(url: &str, method: &str, headers: &str, body: Bytes) -> Result<Self, Code> {
        Ok(Self {
            url: parse_url(url)?,
            method: Method::from_bytes(method.as_bytes()).map_err(|_| Code::InvalidMethod)?,
            headers: parse_headers(headers)?,
            body,
        })
    }

    /// Sends the request, and follows redirects. Each step has to be granted.
    pub(super) async fn send(
        mut self,
        egress: &Egress,
        scope: &Arc<RequestScope>,
    ) -> Result<Response<Body>, Code> {
        for step in 0..=MOST_REDIRECTS {
            let attribution = Attribution::exact(scope.clone(), Witness::Sole);
            let sent = egress.send(self.request()?, SendOptions::default(), attribution);
            let response = sent.await.map_err(|error| match error {
                // The guest's own URI was valid; this one is from a redirect.
                EgressError::InvalidUri { .. } if step > 0 => Code::Request,
                error => Code::of(&error),
            })?;
            match redirect(&self.url, &response) {
                Some(url) => self.follow(response.status(), url),
                None => return Ok(response),
            }
        }
        Err(Code::Request)
    }

    fn request(&self) -> Result<Request<Body>, Code> {
        let body = match self.body.is_empty() {
            true => empty(),
            false => full(self.body.clone()),
        };
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .body(body)
            .map_err(|_| Code::InvalidUrl)?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// Turns it into the request to another URL, as browsers do (Fetch, 4.4).
    fn follow(&mut self, status: StatusCode, url: Url) {
        let keeps = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        if !keeps {
            if !matches!(self.method, Method::GET | Method::HEAD) {
                self.method = Method::GET;
            }
            self.body = Bytes::new();
            for name in [
                CONTENT_ENCODING,
                CONTENT_LENGTH,
                CONTENT_TYPE,
                TRANSFER_ENCODING,
            ] {
                self.headers.remove(name);
            }
        }
        if url.origin() != self.url.origin() {
            // Credentials for one server must not reach another.
            for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE] {
                self.headers.remove(name);
            }
        }
        self.url = url;
    }
}

fn redirect(base: &Url, response: &Response<Body>) -> Option<Url> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = follows
        .then(|| response.headers().get(LOCATION))
        .flatten()?;
    base.join(location.to_str().ok()?).ok()
}

/// Parses a URL as WAGI's client did: it may contain unescaped spaces and non-ASCII characters.
fn parse_url(text: &str) -> Result<Url, Code> {
    let mut url = Url::parse(text).map_err(|_| Code::InvalidUrl)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Code::InvalidUrl);
    }
    // Fragments are not sent.
    url.set_fragment(None);
    Ok(url)
}

/// Parses headers, one `name:value` a line. The last line of a name wins.
fn parse_headers(text: &str) -> Result<HeaderMap, Code> {
    let mut headers = HeaderMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Code::InvalidEncoding)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Code::InvalidEncoding)?;
        let value = HeaderValue::from_str(value).map_err(|_| Code::InvalidEncoding)?;
        headers
            .try_insert(name, value)
            .map_err(|_| Code::InvalidEncoding)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_bad_ones_are_an_error() {
        let headers = parse_headers("a:1\nX-B:2:3\na:4\n").unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["a"], "4");
        assert_eq!(headers["x-b"], "2:3");
        assert!(parse_headers("").unwrap().is_empty());
        for bad in ["no colon", "a b:1", ":1", "a:\u{7}", "é:1"] {
            assert_eq!(parse_headers(bad), Err(Code::InvalidEncoding), "{bad:?}");
        }
    }

    #[test]
    fn urls_without_a_host_are_refused() {
        for bad in ["", "/x", "http://", "data:x", "http://[::1", "mailto:a@b"] {
            assert_eq!(parse_url(bad).unwrap_err(), Code::InvalidUrl, "{bad:?}");
        }
        let url = parse_url("http://a.example/b c?d=é#f").unwrap();
        assert_eq!(url.as_str(), "http://a.example/b%20c?d=%C3%A9");
    }

    #[test]
    fn a_redirect_keeps_what_it_may() {
        let wanted = Wanted::new(
            "http://a.example/",
            "POST",
            "content-type:t\nauthorization:x\na:b",
            Bytes::from_static(b"body"),
        )
        .unwrap();
        let names = |wanted: &Wanted| {
            let mut names: Vec<_> = wanted.headers.keys().map(HeaderName::to_string).collect();
            names.sort();
            names.join(" ")
        };
        for (status, url, method, body, headers) in [
            (302, "http://a.example/2", "GET", "", "a authorization"),
            (303, "http://b.example/", "GET", "", "a"),
            (
                307,
                "http://a.example/2",
                "POST",
                "body",
                "a authorization content-type",
            ),
            (308, "https://a.example/", "POST", "body", "a content-type"),
        ] {
            let mut wanted = wanted.clone();
            wanted.follow(StatusCode::from_u16(status).unwrap(), url.parse().unwrap());
            assert_eq!(wanted.method, method, "{status}");
            assert_eq!(wanted.body, body, "{status}");
            assert_eq!(names(&wanted), headers, "{status}");
        }
    }
}
