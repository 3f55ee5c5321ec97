//! Carries actions out. Nothing that a guest returns is trusted: what makes no valid message is its own fault.

use bytes::Bytes;
use headwater_core::fields::is_hop_by_hop;
use headwater_core::{Body, Fault, full};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use wasmtime_wasi_http::ForbiddenHeaderFilter;

use super::types::{Header, HookResponse, Modify};

/// The most header fields that a message may have after an action, as for a response of other middlewares.
const MAX_FIELDS: usize = 1_000;

/// Returns the header fields that a hook sees. A value that is not UTF-8 has replacement characters.
pub(super) fn seen(headers: &HeaderMap, is_forbidden: &ForbiddenHeaderFilter) -> Vec<Header> {
    let visible = |name: &HeaderName| name == HOST || !is_forbidden(name);
    let headers = headers.iter().filter(|(name, _)| visible(name));
    headers
        .map(|(name, value)| Header {
            name: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        })
        .collect()
}

/// Returns a status of a guest.
pub(super) fn status(status: u16) -> Result<StatusCode, Fault> {
    let valid = StatusCode::from_u16(status).ok();
    valid
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| fault(format!("the status {status} is not one of 200 to 599")))
}

/// Returns the answer for `reject`.
pub(super) fn reject(status: u16) -> Result<Response<Body>, Fault> {
    let mut response = Response::new(headwater_core::empty());
    *response.status_mut() = self::status(status)?;
    Ok(response)
}

/// Returns the answer of `on-error`.
pub(super) fn answer(
    answer: HookResponse,
    is_forbidden: &ForbiddenHeaderFilter,
) -> Result<Response<Body>, Fault> {
    let HookResponse {
        status,
        headers,
        body,
    } = answer;
    let modify = Modify {
        status: Some(status),
        headers_add: headers,
        body_replace: Some(body),
        ..Modify::default()
    };
    let mut response = Response::new(());
    *response.status_mut() = self::status(status)?;
    let body = self::headers(modify, response.headers_mut(), is_forbidden)?;
    Ok(response.map(|()| full(body.unwrap_or_default())))
}

/// Changes header fields, in the order of the Shepherd Model Gateway: set, add, remove. Returns the new body,
/// if there is one.
///
/// The length of the body is the host's to set: an action may only repeat it.
pub(super) fn headers(
    modify: Modify,
    headers: &mut HeaderMap,
    is_forbidden: &ForbiddenHeaderFilter,
) -> Result<Option<Bytes>, Fault> {
    let Modify {
        status: _,
        headers_set,
        headers_add,
        headers_remove,
        body_replace,
    } = modify;
    let length = match &body_replace {
        Some(body) => Some(HeaderValue::from(body.len())),
        None => headers.get(CONTENT_LENGTH).cloned(),
    };
    let field = |Header { name, value }: Header| {
        let name = self::name(&name)?;
        if is_hop_by_hop(&name) || is_forbidden(&name) {
            return Err(fault(format!("`{name}` is not for guests to set")));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_invalid| fault(format!("`{name}` has a value with control characters")))?;
        if name == CONTENT_LENGTH && Some(&value) != length.as_ref() {
            return Err(fault(
                "`content-length` differs from the length of the body".to_owned(),
            ));
        }
        Ok((name, value))
    };
    for header in headers_set {
        let (name, value) = field(header)?;
        headers.insert(name, value);
    }
    for header in headers_add {
        let (name, value) = field(header)?;
        if headers.len() >= MAX_FIELDS {
            return Err(fault(format!(
                "the message would have more than {MAX_FIELDS} header fields"
            )));
        }
        if name != CONTENT_LENGTH {
            headers.append(name, value);
        }
    }
    for name in headers_remove {
        let name = self::name(&name)?;
        // These describe the message and its connection.
        if !is_hop_by_hop(&name) && !is_forbidden(&name) && name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    if headers.len() > MAX_FIELDS {
        return Err(fault(format!(
            "the message would have more than {MAX_FIELDS} header fields"
        )));
    }
    let body = body_replace.map(Bytes::from);
    if let (Some(_), Some(length)) = (&body, length) {
        headers.insert(CONTENT_LENGTH, length);
    }
    Ok(body)
}

fn name(name: &str) -> Result<HeaderName, Fault> {
    // Shortened: the guest may have made it as long as it likes.
    let shown = || {
        name.chars()
            .take(64)
            .collect::<String>()
            .escape_debug()
            .to_string()
    };
    name.parse()
        .map_err(|_invalid| fault(format!("`{}` is not a header field name", shown())))
}

fn fault(cause: String) -> Fault {
    Fault::bad_response("the service returned an action that cannot be carried out")
        .caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forbidden::ForbiddenHeaders;

    fn header(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn apply(modify: Modify, headers: &mut HeaderMap) -> Result<Option<Bytes>, String> {
        let filter = ForbiddenHeaders::default().filter();
        super::headers(modify, headers, &filter).map_err(|fault| fault.cause().unwrap())
    }

    fn some() -> HeaderMap {
        let fields = [
            ("x-a", "1"),
            ("x-b", "1"),
            ("content-length", "3"),
            ("host", "a.example"),
        ];
        fields
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn fields_are_set_added_and_removed_in_this_order_and_a_new_body_brings_its_length() {
        let mut headers = some();
        let modify = Modify {
            headers_set: vec![header("X-A", "2"), header("x-c", "1")],
            headers_add: vec![header("x-a", "3"), header("x-b", "2")],
            headers_remove: vec![
                "x-b".to_owned(),
                "host".to_owned(),
                "content-length".to_owned(),
            ],
            body_replace: Some(b"longer".to_vec()),
            ..Modify::default()
        };
        assert_eq!(apply(modify, &mut headers), Ok(Some(Bytes::from("longer"))));
        let values: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["2", "3"]);
        assert_eq!(headers["x-c"], "1");
        assert!(!headers.contains_key("x-b"));
        assert_eq!(
            (&headers["content-length"], &headers["host"]),
            (
                &HeaderValue::from_static("6"),
                &HeaderValue::from_static("a.example")
            )
        );
    }

    #[test]
    fn what_makes_no_valid_message_is_the_fault_of_the_guest() {
        let set = |fields: Vec<Header>| Modify {
            headers_set: fields,
            ..Modify::default()
        };
        let add = |fields: Vec<Header>| Modify {
            headers_add: fields,
            ..Modify::default()
        };
        for (modify, said) in [
            (
                set(vec![header("x y", "1")]),
                "`x y` is not a header field name",
            ),
            (set(vec![header("", "1")]), "`` is not a header field name"),
            (
                set(vec![header("x-a", "1\r\nx-b: 2")]),
                "control characters",
            ),
            (set(vec![header("connection", "close")]), "not for guests"),
            (
                add(vec![header("transfer-encoding", "chunked")]),
                "not for guests",
            ),
            (add(vec![header("te", "trailers")]), "not for guests"),
            (set(vec![header("host", "b.example")]), "not for guests"),
            (set(vec![header("content-length", "5")]), "differs"),
            (add(vec![header("content-length", "5")]), "differs"),
            (add(vec![header("x-many", "1"); 9_999]), "more than 1000"),
            (
                Modify {
                    headers_remove: vec!["ä b".to_owned()],
                    ..Modify::default()
                },
                "not a header field name",
            ),
        ] {
            let error = apply(modify, &mut some()).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
        let same = set(vec![header("content-length", "3")]);
        assert_eq!(apply(same, &mut some()), Ok(None));
    }

    #[test]
    fn a_status_is_a_final_one() {
        for valid in [200, 404, 429, 599] {
            assert_eq!(status(valid).unwrap().as_u16(), valid);
        }
        for wrong in [0, 42, 100, 103, 600, 999, 1_000, u16::MAX] {
            let fault = status(wrong).unwrap_err();
            assert!(fault.cause().unwrap().contains(&wrong.to_string()));
        }
    }

    #[test]
    fn a_hook_sees_the_host_but_nothing_of_the_connection() {
        let mut headers = some();
        headers.insert("proxy-authorization", HeaderValue::from_static("secret"));
        headers.insert("x-latin", HeaderValue::from_bytes(b"\xe4").unwrap());
        let filter = ForbiddenHeaders::default().filter();
        let seen = seen(&headers, &filter);
        assert!(seen.contains(&header("host", "a.example")));
        assert!(seen.contains(&header("x-latin", "\u{fffd}")));
        assert!(!seen.iter().any(|header| header.value == "secret"));
    }
}
