//! A handler that redirects.

use std::sync::Arc;

use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};

use crate::request::target::bad_path;

/// Redirects clients to another URL.
#[derive(Debug, Clone)]
pub struct Redirect {
    parts: Vec<Part>,
    status: StatusCode,
}

/// An error of a redirect's target or status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// The target is one that clients may understand differently.
    #[error(
        "the target `{target}` {problem}: write `/path`, or `https://host/path`; after the host, it may \
         have `{{rest}}` for the part of the path that the route's `...` stands for, and `{{query}}` \
         for the query with its `?`"
    )]
    Target {
        /// The target as given.
        target: String,
        /// The problem.
        problem: &'static str,
    },
    /// The status is not a redirect's.
    #[error("the status {0} is not a redirect: write 301, 302, 303, 307 or 308")]
    Status(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Rest,
    Query,
}

const REST: &str = "{rest}";
const QUERY: &str = "{query}";

// === impl Redirect ===

impl Redirect {
    /// A redirect to `/path` or `http(s)://host/path`, by 301, 302, 303, 307 or 308.
    ///
    /// After the host's `/`, `{rest}` stands for the path that the route leaves, without its first
    /// slash: the whole path, or with [`strip_prefix`](crate::Route::strip_prefix) the part below
    /// the prefix. `{query}` stands for the query with its `?`, or nothing. So no request can
    /// choose the host that its client is sent to.
    ///
    /// # Errors
    ///
    /// Returns an error if the target has another form, or the status is another.
    pub fn new(to: &str, status: u16) -> Result<Self, RedirectError> {
        let code = StatusCode::from_u16(status)
            .ok()
            .filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308))
            .ok_or(RedirectError::Status(status))?;
        let bad = |problem| RedirectError::Target {
            target: to.to_owned(),
            problem,
        };
        let path = match to.strip_prefix("https://").or(to.strip_prefix("http://")) {
            Some(rest) => {
                let (host, _) = rest
                    .split_once('/')
                    .ok_or_else(|| bad("has no `/` after its host"))?;
                if host.is_empty() || host.contains(['{', '}', '\\', '@', '?', '#']) {
                    return Err(bad("has an invalid host"));
                }
                &rest[host.len()..]
            }
            None if !to.starts_with('/') => {
                return Err(bad("begins neither with `/` nor a scheme"));
            }
            None if to[1..].starts_with(['/', '\\']) => {
                return Err(bad("begins with two slashes, which precede a host"));
            }
            None => to,
        };
        let plain = path.replace(REST, "").replace(QUERY, "");
        if plain.contains(['{', '}']) {
            return Err(bad(
                "has braces around something other than `rest` or `query`",
            ));
        }
        if plain.parse::<Uri>().is_err() || HeaderValue::from_str(to).is_err() {
            return Err(bad("has characters that are not allowed in a URI"));
        }
        Ok(Self {
            parts: split(to),
            status: code,
        })
    }

    fn location(&self, uri: &Uri) -> String {
        let mut location = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => location.push_str(text),
                // Browsers take `//host` and `/\host` for another host.
                Part::Rest => location.push_str(uri.path().trim_start_matches(['/', '\\'])),
                Part::Query => {
                    if let Some(query) = uri.query() {
                        location.push('?');
                        location.push_str(query);
                    }
                }
            }
        }
        location
    }
}

fn split(mut to: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    while let Some(c) = to.chars().next() {
        let (part, length) = match to {
            to if to.starts_with(REST) => (Part::Rest, REST.len()),
            to if to.starts_with(QUERY) => (Part::Query, QUERY.len()),
            _ => {
                text.push(c);
                to = &to[c.len_utf8()..];
                continue;
            }
        };
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(part);
        to = &to[length..];
    }
    parts.push(Part::Text(text));
    parts
}

impl Handler for Redirect {
    fn handle(&self, request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let location = HeaderValue::try_from(self.location(request.uri()));
        let status = self.status;
        Box::pin(std::future::ready(
            location
                .map(|location| {
                    let mut response = Response::new(headwater_core::empty());
                    *response.status_mut() = status;
                    response.headers_mut().insert(LOCATION, location);
                    response
                })
                .map_err(bad_path),
        ))
    }

    fn wants_introduction(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_and_the_query_go_where_they_are_asked_for_and_never_choose_the_host() {
        for (to, uri, expected) in [
            ("/new", "http://h/a?b", "/new"),
            ("/new/{rest}{query}", "http://h/a/b?c=d", "/new/a/b?c=d"),
            ("/new/{rest}{query}", "http://h/", "/new/"),
            ("/{rest}", "http://h//evil.example/x", "/evil.example/x"),
            ("/{rest}", "http://h///evil.example", "/evil.example"),
            ("/{rest}", "http://h/\\evil.example", "/evil.example"),
            ("/{query}", "http://h/?//evil", "/?//evil"),
            (
                "https://x.example/{rest}",
                "http://h/@evil",
                "https://x.example/@evil",
            ),
            ("/{rest}/{rest}", "http://h/a", "/a/a"),
        ] {
            let redirect = Redirect::new(to, 308).unwrap();
            let Ok(uri) = uri.parse() else { continue };
            assert_eq!(redirect.location(&uri), expected, "{to} {uri}");
        }
    }

    #[test]
    fn targets_that_could_lead_anywhere_are_refused_with_what_to_write() {
        for to in [
            "",
            "x",
            "//x.example/",
            "/\\x.example/",
            "{rest}",
            "https://{rest}",
            "https://x.example{rest}",
            "https://{rest}/",
            "https://user@x.example/",
            "https:///x",
            "ftp://x/",
            "/{other}",
            "/a b",
            "/a\r\nset-cookie: x",
        ] {
            let text = Redirect::new(to, 302).unwrap_err().to_string();
            assert!(text.contains("`https://host/path`"), "{to}: {text}");
        }
        for status in [200, 300, 304, 306, 309, 99, 1_000] {
            assert_eq!(
                Redirect::new("/", status).unwrap_err(),
                RedirectError::Status(status)
            );
        }
    }
}
