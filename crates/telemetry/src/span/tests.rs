use headwater_core::{Attribution, Counters, Doubt, Fault, SpanContext, TraceId};
use http::{HeaderValue, Method, StatusCode, Version};
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::attributes::*;
use crate::propagation;
use crate::test_support::{Incoming, attribute, exact, outgoing, record, text};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn caller(traceparent: &str) -> SpanContext {
    let mut headers = http::HeaderMap::new();
    headers.insert(
        propagation::TRACEPARENT,
        HeaderValue::from_str(traceparent).unwrap(),
    );
    headers.insert(propagation::TRACESTATE, HeaderValue::from_static("a=1"));
    propagation::extract(&headers).unwrap()
}

fn of_kind(spans: &[SpanData], kind: SpanKind) -> &SpanData {
    let mut spans = spans.iter().filter(|span| span.span_kind == kind);
    let span = spans.next().unwrap();
    assert!(spans.next().is_none());
    span
}

#[test]
fn the_callers_trace_is_continued_and_outgoing_requests_hang_under_the_server_span() {
    let mut incoming = Incoming::get("http://shop.example/api/items");
    incoming.parent = Some(caller(TRACEPARENT));
    let spans = record(|| {
        let server = incoming.start();
        let scope = incoming.scope(&server);
        let client = outgoing(&exact(&scope), "http://stock.example/");
        assert_eq!(client.context().trace_id(), server.context().trace_id());
        assert_eq!(client.context().trace_state().get("a"), Some("1"));
        assert_ne!(client.context().span_id(), server.context().span_id());
    });
    let server = of_kind(&spans, SpanKind::Server);
    let client = of_kind(&spans, SpanKind::Client);
    let caller = incoming.parent.unwrap();
    assert_eq!(server.span_context.trace_id(), caller.trace_id());
    assert_eq!(server.parent_span_id, caller.span_id());
    assert!(server.parent_span_is_remote);
    assert_eq!(client.span_context.trace_id(), caller.trace_id());
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    assert!(!client.parent_span_is_remote);
}

#[test]
fn a_client_span_that_starts_after_its_server_span_ended_still_hangs_under_it() {
    let incoming = Incoming::get("http://shop.example/api/items");
    let spans = record(|| {
        let server = incoming.start();
        let scope = incoming.scope(&server);
        server.end();
        drop(outgoing(&exact(&scope), "http://stock.example/late"));
    });
    assert_eq!(spans[0].span_kind, SpanKind::Server);
    assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
    assert_eq!(
        spans[1].span_context.trace_id(),
        spans[0].span_context.trace_id()
    );
}

#[test]
fn an_unknown_or_ambiguous_attribution_makes_a_root_whatever_span_is_current() {
    for (attribution, verdict, witness) in [
        (Attribution::unknown(), "unknown", "none"),
        (
            Attribution::ambiguous(headwater_core::Witness::Stack),
            "ambiguous",
            "stack",
        ),
    ] {
        let incoming = Incoming::get("http://shop.example/api/items");
        let spans = record(|| {
            let server = incoming.start();
            server.span.in_scope(|| {
                let client = outgoing(&attribution, "http://stock.example/");
                assert_ne!(client.context().trace_id(), server.context().trace_id());
            });
        });
        let client = of_kind(&spans, SpanKind::Client);
        assert_eq!(client.parent_span_id, SpanId::INVALID);
        assert_eq!(text(client, ATTRIBUTION), verdict);
        assert_eq!(text(client, ATTRIBUTION_WITNESS), witness);
        assert_eq!(attribute(client, REQUEST_ID), None);
    }
}

#[test]
fn a_call_in_doubt_says_why_and_is_linked_to_all_that_it_may_be_for() {
    let (one, other) = (
        Incoming::get("http://shop.example/one"),
        Incoming::get("http://shop.example/other"),
    );
    let spans = record(|| {
        let (own_span, other_span) = (one.start(), other.start());
        let (own, other) = (one.scope(&own_span), other.scope(&other_span));
        let attribution = Attribution::doubtful(own, [other], Doubt::TakenOver);
        drop(outgoing(&attribution, "http://stock.example/"));
    });
    let client = of_kind(&spans, SpanKind::Client);
    assert_eq!(text(client, ATTRIBUTION), "ambiguous");
    assert_eq!(text(client, ATTRIBUTION_WITNESS), "stack");
    assert_eq!(text(client, ATTRIBUTION_DOUBT), "taken-over");
    assert_eq!(text(client, ATTRIBUTION_CANDIDATES).matches(',').count(), 1);
    assert_eq!(client.links.len(), 2);
}

#[test]
fn contexts_are_minted_when_nobody_traces() {
    let mut incoming = Incoming::get("http://shop.example/api/items");
    let server = incoming.start();
    assert!(server.context().is_valid() && server.context().is_sampled());
    let client = outgoing(&exact(&incoming.scope(&server)), "http://stock.example/");
    assert_eq!(client.context().trace_id(), server.context().trace_id());
    assert_ne!(client.context().span_id(), server.context().span_id());
    let other = outgoing(&Attribution::unknown(), "http://stock.example/");
    assert_ne!(other.context().trace_id(), server.context().trace_id());

    incoming.parent = Some(caller(&TRACEPARENT.replace("-01", "-00")));
    let server = incoming.start();
    let caller = incoming.parent.as_ref().unwrap();
    assert_eq!(server.context().trace_id(), caller.trace_id());
    assert_ne!(server.context().span_id(), caller.span_id());
    assert!(!server.context().is_sampled() && !server.context().is_remote());
    assert_eq!(server.context().trace_state(), caller.trace_state());
}

#[test]
fn contexts_are_minted_when_a_subscriber_has_no_opentelemetry() {
    let subscriber = tracing_subscriber::registry();
    tracing::subscriber::with_default(subscriber, || {
        let server = Incoming::get("http://shop.example/").start();
        assert!(!server.span.is_disabled());
        assert!(server.context().is_valid());
    });
}

#[test]
fn an_unsampled_callers_ids_are_passed_on_and_nothing_is_recorded() {
    let mut incoming = Incoming::get("http://shop.example/api/items");
    incoming.parent = Some(caller(&TRACEPARENT.replace("-01", "-00")));
    let spans = record(|| {
        let server = incoming.start();
        let client = outgoing(&exact(&incoming.scope(&server)), "http://stock.example/");
        for context in [server.context(), client.context()] {
            assert_eq!(
                context.trace_id(),
                TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap()
            );
            assert!(context.is_valid() && !context.is_sampled());
            assert_eq!(context.trace_state().get("a"), Some("1"));
        }
        assert_ne!(server.context().span_id(), client.context().span_id());
    });
    assert_eq!(spans.len(), 0);
}

#[test]
fn a_server_span_has_the_attributes_of_the_conventions() {
    let mut incoming = Incoming::get("/api/items?page=2");
    for (name, value) in [
        ("host", "shop.example:8080"),
        ("user-agent", "curl/8"),
        ("x-request-id", "abc-1"),
    ] {
        incoming
            .headers
            .insert(name, HeaderValue::from_static(value));
    }
    let spans = record(|| {
        let mut server = incoming.start();
        let counters = Counters::default();
        Counters::add(&counters.outgoing, 2);
        Counters::add(&counters.request_bytes, 3);
        Counters::add(&counters.response_bytes, 4);
        Counters::add(&counters.outgoing_denied, 9);
        Counters::add(&counters.outgoing_sent_bytes, 5);
        Counters::add(&counters.outgoing_received_bytes, 6);
        Counters::add(&counters.log_lines, 7);
        Counters::add(&counters.cpu_nanos, 8);
        server.counters(&counters);
        server.response(StatusCode::NOT_FOUND);
    });
    let span = of_kind(&spans, SpanKind::Server);
    assert_eq!(span.name, "GET /api/...");
    assert_eq!(span.status, Status::Unset, "4xx is not the server's error");
    let mut attributes: Vec<_> = span
        .attributes
        .iter()
        .map(|attribute| (attribute.key.as_str(), attribute.value.clone()))
        .collect();
    attributes.sort_by_key(|(key, _)| *key);
    let expected: Vec<(&str, Value)> = vec![
        (CLIENT_ADDRESS, "192.0.2.7".into()),
        (CLIENT_REQUEST_ID, "abc-1".into()),
        (CPU_NANOS, 8.into()),
        (HTTP_REQUEST_BODY_SIZE, 3.into()),
        (HTTP_REQUEST_METHOD, "GET".into()),
        (HTTP_RESPONSE_BODY_SIZE, 4.into()),
        (HTTP_RESPONSE_STATUS_CODE, 404.into()),
        (HTTP_ROUTE, "/api/...".into()),
        (NETWORK_PEER_ADDRESS, "192.0.2.7".into()),
        (NETWORK_PEER_PORT, 4711.into()),
        (NETWORK_PROTOCOL_VERSION, "1.1".into()),
        (OUTGOING_DENIED, 9.into()),
        (OUTGOING_REQUESTS, 2.into()),
        (OUTGOING_SENT_BYTES, 5.into()),
        (OUTGOING_RECEIVED_BYTES, 6.into()),
        (LOG_LINES, 7.into()),
        (REQUEST_ID, incoming.id.to_string().into()),
        (SERVER_ADDRESS, "shop.example".into()),
        (SERVER_PORT, 8080.into()),
        (SERVICE, "shop".into()),
        (URL_PATH, "/api/items".into()),
        (URL_QUERY, "page=2".into()),
        (URL_SCHEME, "http".into()),
        (USER_AGENT_ORIGINAL, "curl/8".into()),
    ];
    let mut expected = expected;
    expected.sort_by_key(|(key, _)| *key);
    assert_eq!(attributes, expected);
}

#[test]
fn a_request_that_no_route_matched_has_neither_route_nor_service_in_its_span() {
    let mut incoming = Incoming::get("http://shop.example/none");
    (incoming.service, incoming.route) = ("", "");
    let spans = record(|| incoming.start().response(StatusCode::NOT_FOUND));
    let span = of_kind(&spans, SpanKind::Server);
    assert_eq!(span.name, "GET");
    assert_eq!(attribute(span, HTTP_ROUTE), None);
    assert_eq!(attribute(span, SERVICE), None);
}

#[test]
fn a_fault_names_its_kind_and_whose_it_is() {
    let table = [
        (Fault::trap(), "trap", "guest", true),
        (Fault::deadline(), "deadline", "guest", true),
        (
            Fault::client(StatusCode::NOT_FOUND, "not_found", "no such route"),
            "not_found",
            "client",
            false,
        ),
    ];
    for (fault, kind, blame, failed) in table {
        let spans = record(|| Incoming::get("http://shop.example/").start().fault(&fault));
        let span = of_kind(&spans, SpanKind::Server);
        assert_eq!(text(span, ERROR_TYPE), kind);
        assert_eq!(text(span, FAULT), blame);
        assert_eq!(
            text(span, HTTP_RESPONSE_STATUS_CODE),
            fault.status().as_str()
        );
        assert_eq!(
            matches!(span.status, Status::Error { .. }),
            failed,
            "{kind}"
        );
    }
}

#[test]
fn a_fault_after_the_head_leaves_the_status_that_was_sent() {
    let spans = record(|| {
        let mut server = Incoming::get("http://shop.example/").start();
        server.response(StatusCode::OK);
        server.fault(&Fault::trap());
    });
    let span = of_kind(&spans, SpanKind::Server);
    assert_eq!(text(span, HTTP_RESPONSE_STATUS_CODE), "200");
    assert_eq!(text(span, ERROR_TYPE), "trap");
    assert!(matches!(span.status, Status::Error { .. }));
}

#[test]
fn a_guests_own_500_is_an_error_named_by_its_status() {
    let spans = record(|| {
        let mut server = Incoming::get("http://shop.example/").start();
        server.response(StatusCode::SERVICE_UNAVAILABLE);
    });
    let span = of_kind(&spans, SpanKind::Server);
    assert_eq!(text(span, ERROR_TYPE), "503");
    assert!(matches!(span.status, Status::Error { .. }));
    assert_eq!(attribute(span, FAULT), None);
}

#[test]
fn a_method_that_nobody_knows_is_other() {
    let mut incoming = Incoming::get("http://shop.example/");
    incoming.method = Method::from_bytes(b"BREW").unwrap();
    let spans = record(|| incoming.start().end());
    let span = of_kind(&spans, SpanKind::Server);
    assert_eq!(span.name, "HTTP /api/...");
    assert_eq!(text(span, HTTP_REQUEST_METHOD), "_OTHER");
    assert_eq!(text(span, HTTP_REQUEST_METHOD_ORIGINAL), "BREW");
}

#[test]
fn a_client_span_has_the_attributes_of_the_conventions() {
    let incoming = Incoming::get("http://shop.example/");
    let spans = record(|| {
        let server = incoming.start();
        let attribution = exact(&incoming.scope(&server));
        let mut client = outgoing(&attribution, "https://ann:pw@stock.example/a?b=c");
        client.link(&caller(TRACEPARENT));
        client.connection(Some("[2001:db8::1]:443".parse().unwrap()), true);
        client.response(StatusCode::NOT_FOUND, Version::HTTP_2);
    });
    let span = of_kind(&spans, SpanKind::Client);
    assert_eq!(span.name, "GET");
    assert_eq!(span.links.len(), 1);
    assert!(
        matches!(span.status, Status::Error { .. }),
        "4xx is an error"
    );
    for (key, value) in [
        (HTTP_REQUEST_METHOD, "GET"),
        (URL_FULL, "https://REDACTED:REDACTED@stock.example/a?b=c"),
        (URL_SCHEME, "https"),
        (SERVER_ADDRESS, "stock.example"),
        (SERVER_PORT, "443"),
        (ATTRIBUTION, "exact"),
        (ATTRIBUTION_WITNESS, "stack"),
        (REQUEST_ID, &incoming.id.to_string()),
        (SERVICE, "shop"),
        (HTTP_RESPONSE_STATUS_CODE, "404"),
        (NETWORK_PEER_ADDRESS, "2001:db8::1"),
        (NETWORK_PEER_PORT, "443"),
        (CONNECTION_REUSED, "true"),
        (NETWORK_PROTOCOL_NAME, "http"),
        (NETWORK_PROTOCOL_VERSION, "2"),
        (ERROR_TYPE, "404"),
    ] {
        assert_eq!(text(span, key), value, "{key}");
    }
    assert_eq!(span.attributes.len(), 16, "{:?}", span.attributes);
}

#[test]
fn a_call_without_an_answer_is_an_error_of_its_kind() {
    let spans = record(|| outgoing(&Attribution::unknown(), "http://a.example/").error("timeout"));
    let span = of_kind(&spans, SpanKind::Client);
    assert_eq!(text(span, ERROR_TYPE), "timeout");
    assert!(matches!(span.status, Status::Error { .. }));
    assert_eq!(attribute(span, HTTP_RESPONSE_STATUS_CODE), None);
}
