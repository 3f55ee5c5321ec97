use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use headwater_core::CONTEXT_VARIABLE;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use http::{Version, request};
use percent_encoding::percent_decode_str;

use crate::authority::Authority;
use crate::route::Route;
use crate::settings::Compat;

/// The replacement for a header value that is not visible ASCII.
const CORRUPT: &str = "CORRUPT VALUE";

/// The variables that every request sets, whatever is configured.
pub const SET_BY_HOST: [&str; 21] = [
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "GATEWAY_INTERFACE",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "X_FULL_URL",
    "X_MATCHED_ROUTE",
    "X_RAW_PATH_INFO",
    "REQUEST_URI",
    "REQUEST_SCHEME",
];

/// The input for the environment of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) head: &'a request::Parts,
    /// The route pattern that matched.
    pub(crate) route: &'a str,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) content_length: u64,
    /// The service's own variables.
    pub(crate) configured: &'a [(String, String)],
    /// Variables with values of the request's context.
    pub(crate) context: &'a [(String, Arc<str>)],
    /// The name and port for a request that has none.
    pub(crate) default_host: &'a str,
    pub(crate) compat: Compat,
    pub(crate) pass_authorization: bool,
}

/// Names and values of variables, sorted by name. Most are borrowed from the request.
pub(crate) type Environment<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// Returns the module's environment.
///
/// As in WAGI 0.8.1, later values win: first the configured variables, then the request's, then
/// `HTTP_*` from the headers. Unlike there, the order is always the same. Unless WAGI is followed
/// strictly, `CONTENT_TYPE` is the request's, no value contains a NUL (which would end it for the
/// guest), and some variables are set that CGI programs expect and WAGI did not set.
///
/// Values of the request's context win over all others. Nothing else sets a variable that begins with
/// [`CONTEXT_VARIABLE`]: a header's begins with `HTTP_`, and a configured one is left out.
pub(crate) fn environment(facts: Facts<'_>) -> Environment<'_> {
    let context = facts.context;
    let mut variables = of_request(facts);
    for (name, value) in context {
        variables.set(name.as_str(), &**value);
    }
    variables.found
}

fn of_request(facts: Facts<'_>) -> Variables<'_> {
    let Facts {
        head,
        route: pattern,
        client,
        content_length,
        configured,
        context: _,
        default_host,
        compat,
        pass_authorization,
    } = facts;
    let strict = compat == Compat::Strict;
    let authority = match strict {
        true => Authority::as_in_wagi(&head.uri, &head.headers, default_host),
        false => Authority::of(&head.uri, &head.headers, default_host),
    };
    let route = Route::parse(pattern);
    let raw_path_info = route.path_info(head.uri.path());
    let path_info = percent_decode_str(raw_path_info).decode_utf8_lossy();
    let address = client
        .map(|client| client.ip().to_string())
        .unwrap_or_default();
    let scheme = authority.scheme();
    let path_and_query = head.uri.path_and_query().map_or("/", |both| both.as_str());
    let url = format!(
        "{scheme}://{}:{}{path_and_query}",
        authority.host, authority.port
    );

    let mut variables = Variables {
        keep_nul: strict,
        ..Variables::default()
    };
    for (name, value) in configured {
        if !name.starts_with(CONTEXT_VARIABLE) {
            variables.set(name.as_str(), value.as_str());
        }
    }
    let query = head.uri.query().unwrap_or_default();
    variables.set("AUTH_TYPE", "");
    variables.set("CONTENT_LENGTH", content_length.to_string());
    variables.set("CONTENT_TYPE", content_type(&head.headers, compat));
    variables.set("GATEWAY_INTERFACE", "CGI/1.1");
    variables.set("PATH_INFO", path_info.clone());
    variables.set("PATH_TRANSLATED", path_info);
    variables.set("QUERY_STRING", query);
    variables.set("REMOTE_ADDR", address.clone());
    variables.set("REMOTE_HOST", address);
    variables.set("REMOTE_USER", "");
    variables.set("REQUEST_METHOD", head.method.as_str());
    variables.set("SCRIPT_NAME", route.script_name());
    variables.set("SERVER_NAME", authority.host);
    variables.set("SERVER_PORT", authority.port);
    variables.set("SERVER_PROTOCOL", protocol(head.version));
    variables.set("SERVER_SOFTWARE", "WAGI/1");
    variables.set("X_FULL_URL", url);
    variables.set("X_MATCHED_ROUTE", pattern);
    variables.set("X_RAW_PATH_INFO", raw_path_info);
    if compat == Compat::V0_2 {
        let relative = raw_path_info.strip_prefix('/').unwrap_or(raw_path_info);
        variables.set("X_RELATIVE_PATH", relative);
    }
    if strict {
        // The last header of a name wins, and the last of two names that map to one variable.
        for (name, value) in &head.headers {
            if is_public(name, pass_authorization) {
                variables.set(variable(name), text(value));
            }
        }
        return variables;
    }
    variables.set("REQUEST_URI", path_and_query);
    variables.set("REQUEST_SCHEME", scheme);
    if authority.secure {
        variables.set("HTTPS", "on");
    }
    if let Some(client) = client {
        variables.set("REMOTE_PORT", client.port().to_string());
    }
    for name in head.headers.keys() {
        if is_public(name, pass_authorization) && is_safe(name, &head.headers) {
            variables.set(variable(name), joined(&head.headers, name));
        }
    }
    // HTTP/2 has the host outside the headers; CGI programs expect the header (RFC 9113, 8.3.1).
    if !head.headers.contains_key(HOST)
        && head.version >= Version::HTTP_2
        && let Some(authority) = head.uri.authority()
    {
        variables.set("HTTP_HOST", authority.as_str());
    }
    variables
}

#[derive(Debug, Default)]
struct Variables<'a> {
    found: Environment<'a>,
    keep_nul: bool,
}

impl<'a> Variables<'a> {
    fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let text = |text: Cow<'a, str>| match !self.keep_nul && text.contains('\0') {
            true => Cow::Owned(text.replace('\0', "")),
            false => text,
        };
        self.found.insert(text(name.into()), text(value.into()));
    }
}

/// Returns true if WAGI passed this header to the guest: all but credentials and `Connection`.
fn is_public(name: &HeaderName, pass_authorization: bool) -> bool {
    (pass_authorization || name != AUTHORIZATION) && name != CONNECTION
}

/// Returns true if it is safe to pass this header to the guest as a variable.
///
/// `Proxy` is not, because its variable is `HTTP_PROXY`, from which HTTP clients read their
/// configuration (CVE-2016-5385, "httpoxy"). Of two headers that differ only in `_` and `-`, the
/// one with `-` is passed, so that a client cannot override a header that a proxy in front sets.
fn is_safe(name: &HeaderName, headers: &HeaderMap) -> bool {
    if name.as_str() == "proxy" {
        return false;
    }
    let dashed = || name.as_str().replace('_', "-");
    !(name.as_str().contains('_') && headers.contains_key(dashed()))
}

fn variable(name: &HeaderName) -> String {
    let name = name.as_str();
    let mut variable = String::with_capacity("HTTP_".len() + name.len());
    variable.push_str("HTTP_");
    variable.extend(name.chars().map(|letter| match letter {
        '-' => '_',
        letter => letter.to_ascii_uppercase(),
    }));
    variable
}

/// Joins a header's values (RFC 9110, 5.3, and RFC 6265, 5.4). WAGI 0.8.1 kept the last one.
fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    let separator = if name == COOKIE { "; " } else { ", " };
    let mut values = headers.get_all(name).iter().map(text);
    let first = Cow::Borrowed(values.next().unwrap_or_default());
    values.fold(first, |joined, value| joined + separator + value)
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or(CORRUPT)
}

/// Returns the content type. WAGI 0.8.1 looked it up by a wrong name: it was always empty.
fn content_type(headers: &HeaderMap, compat: Compat) -> &str {
    headers
        .get(CONTENT_TYPE)
        .filter(|_| compat != Compat::Strict)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests;
