//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context-1/>), read strictly, and the
//! client's `x-request-id`.
//!
//! The SDK's `TraceContextPropagator` takes the first of several `traceparent` headers, ids that
//! are too short, trailing dashes, and any byte in a `tracestate` value, and it writes an empty
//! `tracestate`. A client's headers reach every outgoing request, so here a header that violates
//! the standard counts as absent.

use headwater_core::{RequestId, SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{baggage, tracestate};

/// The header that names the caller's span.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header that carries data of tracing vendors.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The header that carries data of the application.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The header that names a request, in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The length of a version-00 `traceparent`: 2 + 1 + 32 + 1 + 16 + 1 + 2.
const TRACEPARENT_LEN: usize = 55;
/// The longest `traceparent` that is parsed. Later versions may append fields; ten times today's
/// length leaves them room.
const MAX_TRACEPARENT_LEN: usize = 550;
/// The longest client request id that is kept, in bytes: twice what a UUID, a trace id or a load
/// balancer's id needs.
const MAX_REQUEST_ID_LEN: usize = 128;

/// Reads the caller's span from `traceparent` and `tracestate`.
///
/// `None` if `traceparent` is absent, malformed, oversized or repeated. A malformed or oversized
/// `tracestate` is dropped, and the span kept. Of the flags, only *sampled* is kept.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let (trace_id, span_id, flags) = parse_traceparent(sole(headers, &TRACEPARENT)?)?;
    let state = tracestate::extract(headers, &TRACESTATE);
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// Reads the trace and the span that `traceparent` names, under the conditions of [`extract`].
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<(TraceId, SpanId)> {
    let (trace_id, span_id, _) = parse_traceparent(sole(headers, &TRACEPARENT)?)?;
    Some((trace_id, span_id))
}

/// Reads our id from `x-request-id`, if there is exactly one and it has our form.
///
/// No request with this id need exist.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::parse(sole(headers, &X_REQUEST_ID)?)
}

/// Prepares the headers of an incoming request for its guest: `traceparent` and `tracestate` become
/// those of the request's own server span, whose parent is what the client sent. A guest that
/// copies `traceparent` to an outgoing request thereby names its request. A malformed or oversized
/// `baggage` is removed.
pub fn introduce(span: &SpanContext, headers: &mut HeaderMap) {
    if !span.is_valid() {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    inject(span, headers);
    clean_baggage(headers);
}

/// Removes `baggage` if it is malformed or oversized (W3C Baggage).
pub fn clean_baggage(headers: &mut HeaderMap) {
    if headers.contains_key(BAGGAGE) && !baggage::is_well_formed(headers, &BAGGAGE) {
        headers.remove(BAGGAGE);
    }
}

/// Sets `context` as the caller's span in `headers`, and replaces what they said before. Does
/// nothing if `context` is not valid.
pub fn inject(context: &SpanContext, headers: &mut HeaderMap) {
    if !context.is_valid() {
        return;
    }
    if let Ok(value) = HeaderValue::from_bytes(&format_traceparent(context)) {
        headers.insert(TRACEPARENT, value);
    }
    let state = context.trace_state();
    let value = match *state == TraceState::NONE {
        true => None,
        false => HeaderValue::from_str(&state.header()).ok(),
    };
    match value {
        Some(value) if !value.is_empty() => headers.insert(TRACESTATE, value),
        _ => headers.remove(TRACESTATE),
    };
}

/// Returns the client's own id for its request, if it sent exactly one and it is well-formed: 1 to
/// 128 of the characters `A-Z a-z 0-9 . _ : / + = -`.
///
/// Only for the attribute `headwater.client_request_id`: it is not trusted like ours.
#[must_use]
pub fn client_request_id(headers: &HeaderMap) -> Option<&str> {
    let value = sole(headers, &X_REQUEST_ID)?;
    let well_formed = (1..=MAX_REQUEST_ID_LEN).contains(&value.len())
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(byte));
    // The check above admits ASCII only.
    well_formed.then(|| std::str::from_utf8(value).ok())?
}

/// Returns the value of a header that occurs exactly once.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    if !headers.contains_key(name) {
        return None;
    }
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value.as_bytes())
}

fn parse_traceparent(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    if value.len() > MAX_TRACEPARENT_LEN {
        return None;
    }
    let (known, rest) = value.split_at_checked(TRACEPARENT_LEN)?;
    if [known[2], known[35], known[52]] != [b'-'; 3] {
        return None;
    }
    let version = hex(&known[..2])?;
    match (version, rest) {
        // Forbidden by the standard.
        (0xff, _) => return None,
        (_, []) => {}
        // A later version may have further fields; version 00 may not.
        (1.., [b'-', ..]) => {}
        _ => return None,
    }
    let trace_id = TraceId::from(hex(&known[3..35])?);
    let span_id = SpanId::from(hex(&known[36..52])? as u64);
    let flags = TraceFlags::new(hex(&known[53..])? as u8) & TraceFlags::SAMPLED;
    (trace_id != TraceId::INVALID && span_id != SpanId::INVALID)
        .then_some((trace_id, span_id, flags))
}

/// Reads at most 32 lowercase hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn format_traceparent(context: &SpanContext) -> [u8; TRACEPARENT_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let mut put = |at: usize, bytes: &[u8]| {
        for (pair, byte) in text[at..].chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
    };
    put(3, &context.trace_id().to_bytes());
    put(36, &context.span_id().to_bytes());
    put(53, &[u8::from(context.is_sampled())]);
    text
}

#[cfg(test)]
mod tests {
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::TraceContextExt;
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_well_formed_traceparent_is_read_as_the_sdk_reads_it() {
        for value in [
            GOOD.to_owned(),
            GOOD.replace("-01", "-00"),
            // Unknown flags are not passed on.
            GOOD.replace("-01", "-ff"),
            // A later version, with and without further fields.
            GOOD.replacen("00-", "cc-", 1),
            format!("{}-what-ever", GOOD.replacen("00-", "cc-", 1)),
        ] {
            let headers = headers(&[(TRACEPARENT, &value), (TRACESTATE, "a=1,b@c=2")]);
            let ours = extract(&headers).expect(&value);
            let theirs = TraceContextPropagator::new().extract(&HeaderExtractor(&headers));
            assert_eq!(&ours, theirs.span().span_context(), "{value}");
            assert!(ours.is_remote());
        }
    }

    #[test]
    fn a_malformed_or_oversized_traceparent_counts_as_absent() {
        for value in [
            "",
            "00",
            // Too short, too long, further fields in version 00, trailing dash.
            &GOOD[..54],
            &format!("{GOOD}0"),
            &format!("{GOOD}-00"),
            &format!("{GOOD}-"),
            // Version ff; a later version with no dash before its further fields.
            &GOOD.replacen("00-", "ff-", 1),
            &format!("{}what", GOOD.replacen("00-", "cc-", 1)),
            // Not lowercase hexadecimal.
            &GOOD.to_uppercase(),
            &GOOD.replace('a', "g"),
            &GOOD.replacen("00-", "+0-", 1),
            &GOOD.replace("0af7", "+af7"),
            // Dashes elsewhere.
            &GOOD.replace('-', "_"),
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            // All zero.
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            // Not ASCII.
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\u{e9}-01",
            // Oversized.
            &format!("{}-{}", GOOD.replacen("00-", "cc-", 1), "x".repeat(10_000)),
        ] {
            assert_eq!(extract(&headers(&[(TRACEPARENT, value)])), None, "{value}");
        }
        let twice = headers(&[(TRACEPARENT, GOOD), (TRACEPARENT, GOOD)]);
        assert_eq!(extract(&twice), None, "a duplicate");
    }

    #[test]
    fn a_bad_tracestate_is_dropped_and_the_span_kept() {
        let context = extract(&headers(&[(TRACEPARENT, GOOD), (TRACESTATE, "no equals")])).unwrap();
        assert_eq!(context.trace_state().header(), "");
        assert!(context.is_valid());
    }

    #[test]
    fn what_is_injected_is_what_is_extracted() {
        let sent = headers(&[(TRACEPARENT, GOOD), (TRACESTATE, "a=1, b@c=2")]);
        let context = extract(&sent).unwrap();
        let mut outgoing = headers(&[
            (TRACEPARENT, "stale"),
            (TRACEPARENT, "staler"),
            (TRACESTATE, "x=y"),
            (TRACESTATE, "z=y"),
        ]);
        inject(&context, &mut outgoing);
        assert_eq!(outgoing.len(), 2, "{outgoing:?}");
        assert_eq!(outgoing[TRACEPARENT], GOOD);
        assert_eq!(outgoing[TRACESTATE], "a=1,b@c=2");
        assert_eq!(extract(&outgoing), Some(context));
    }

    #[test]
    fn no_empty_tracestate_is_sent_and_no_invalid_span() {
        let mut outgoing = headers(&[(TRACESTATE, "x=y")]);
        inject(&SpanContext::NONE, &mut outgoing);
        assert_eq!(outgoing.len(), 1);
        inject(
            &extract(&headers(&[(TRACEPARENT, GOOD)])).unwrap(),
            &mut outgoing,
        );
        assert_eq!(outgoing.keys().collect::<Vec<_>>(), [&TRACEPARENT]);
    }

    #[test]
    fn a_guest_is_given_the_request_s_own_span_in_place_of_the_client_s() {
        let own = GOOD.replace("b7ad6b7169203331", "00f067aa0ba902b7");
        let span = extract(&headers(&[(TRACEPARENT, &own), (TRACESTATE, "a=1")])).unwrap();
        let mut seen = headers(&[
            (TRACEPARENT, GOOD),
            (TRACEPARENT, GOOD),
            (TRACESTATE, "b=2"),
            (BAGGAGE, "user=1"),
        ]);
        introduce(&span, &mut seen);
        assert_eq!(traceparent(&seen), Some((span.trace_id(), span.span_id())));
        assert_eq!(seen[TRACESTATE], "a=1");
        assert_eq!(seen[BAGGAGE], "user=1");
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn an_id_that_is_not_ours_is_no_request_id() {
        assert_eq!(request_id(&headers(&[(X_REQUEST_ID, "client-1")])), None);
        let ours = RequestId::new().to_string();
        let twice = headers(&[(X_REQUEST_ID, &ours), (X_REQUEST_ID, &ours)]);
        assert_eq!(request_id(&twice), None, "a duplicate");
    }

    #[test]
    fn a_malformed_or_oversized_request_id_counts_as_absent() {
        let longest = "x".repeat(MAX_REQUEST_ID_LEN);
        for good in ["a", "0190-af/b:c_d.e+f=", &longest] {
            let headers = headers(&[(X_REQUEST_ID, good)]);
            assert_eq!(client_request_id(&headers), Some(good));
        }
        for bad in [
            "",
            "a b",
            "a\tb",
            "a,b",
            "<a>",
            "\u{e9}",
            &format!("{longest}x"),
        ] {
            let headers = headers(&[(X_REQUEST_ID, bad)]);
            assert_eq!(client_request_id(&headers), None, "{bad}");
        }
        let twice = headers(&[(X_REQUEST_ID, "a"), (X_REQUEST_ID, "a")]);
        assert_eq!(client_request_id(&twice), None, "a duplicate");
        assert_eq!(client_request_id(&HeaderMap::new()), None);
    }
}
