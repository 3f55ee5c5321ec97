use headwater_core::{Attribution, Fault, SpanContext, Witness};
use http::{StatusCode, Version};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::*;
use crate::output::Output;
use crate::test_support::{Buffer, Incoming, dispatch, exact, outgoing};

/// Returns what `work` prints, with durations replaced.
fn printed(color: bool, work: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = OutputWriter::to_writer(Output::TraceTree, Box::new(buffer.clone())).unwrap();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(TreeProcessor::new(writer.clone(), color))
        .build();
    tracing::dispatcher::with_default(&dispatch(&provider), work);
    assert!(writer.flush(Duration::from_secs(60)));
    let text = buffer.text();
    let mut stable = String::new();
    for (i, part) in text.split(" ms").enumerate() {
        if i > 0 {
            stable.push_str(" ms");
        }
        stable.push_str(part.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.'));
    }
    // The last part is not a duration; the loop trimmed its end.
    let last = text.rsplit(" ms").next().unwrap();
    let trimmed = last.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    stable.push_str(&last[trimmed.len()..]);
    stable
}

#[test]
fn a_request_is_printed_with_its_outgoing_requests_beneath() {
    let incoming = Incoming::get("http://shop.example/api/items?q=1");
    let text = printed(false, || {
        let mut server = incoming.start();
        let attribution = exact(&incoming.scope(&server));
        let mut first = outgoing(&attribution, "http://127.0.0.1:9000/a?b=c");
        let mut second = outgoing(&attribution, "https://stock.example/b");
        second.response(StatusCode::BAD_GATEWAY, Version::HTTP_11);
        drop(second);
        first.response(StatusCode::OK, Version::HTTP_11);
        drop(first);
        outgoing(&attribution, "http://a.example/").error("timeout");
        server.response(StatusCode::OK);
    });
    let id = incoming.id.short();
    assert_eq!(
        text,
        format!(
            "GET shop.example/api/items  200   ms shop  #{id}\n\
             ├─ GET 127.0.0.1:9000/a  200   ms  at  ms  exact (stack)\n\
             ├─ GET stock.example/b  502   ms  at  ms  exact (stack)\n\
             └─ GET a.example/  timeout   ms  at  ms  exact (stack)\n"
        )
    );
}

#[test]
fn what_ends_after_the_response_is_printed_late_and_names_its_request() {
    let incoming = Incoming::get("http://shop.example/api/items");
    let text = printed(false, || {
        let mut server = incoming.start();
        let attribution = exact(&incoming.scope(&server));
        let mut running = outgoing(&attribution, "http://a.example/running");
        server.response(StatusCode::ACCEPTED);
        server.end();
        running.response(StatusCode::OK, Version::HTTP_11);
        drop(running);
        let mut started_late = outgoing(&attribution, "http://a.example/late");
        started_late.response(StatusCode::OK, Version::HTTP_11);
    });
    let id = incoming.id.short();
    assert_eq!(
        text,
        format!(
            "GET shop.example/api/items  202   ms shop  #{id}\n\
             └─ … 1 still running\n\
             ↳ GET a.example/running  200   ms  exact (stack)  of #{id} (shop), after its response\n\
             ↳ GET a.example/late  200   ms  exact (stack)  of #{id} (shop), after its response\n"
        )
    );
}

#[test]
fn a_service_that_another_one_called_stands_beneath_the_call() {
    let (outer, mut inner) = (
        Incoming::get("http://shop.example/cart"),
        Incoming::get("http://stock.internal/items"),
    );
    let text = printed(false, || {
        let mut server = outer.start();
        let attribution = exact(&outer.scope(&server));
        let mut call = outgoing(&attribution, "http://stock.internal/items");
        let context = call.context();
        inner.parent = Some(SpanContext::new(
            context.trace_id(),
            context.span_id(),
            context.trace_flags(),
            // Like text from headers.
            true,
            Default::default(),
        ));
        let mut called = inner.start();
        let beneath = exact(&inner.scope(&called));
        let mut upstream = outgoing(&beneath, "http://a.example/x");
        upstream.response(StatusCode::OK, Version::HTTP_11);
        drop(upstream);
        called.fault(&Fault::trap().caused_by("wasm trap: it is over\nand more"));
        called.end();
        call.response(StatusCode::INTERNAL_SERVER_ERROR, Version::HTTP_11);
        drop(call);
        server.response(StatusCode::OK);
    });
    let (outer, inner) = (outer.id.short(), inner.id.short());
    assert_eq!(
        text,
        format!(
            "GET shop.example/cart  200   ms shop  #{outer}\n\
             └─ GET stock.internal/items  500   ms  at  ms  exact (stack)\n   \
             GET stock.internal/items  500 trap   ms shop  #{inner}\n   \
             ├─ GET a.example/x  200   ms  at  ms  exact (stack)\n   \
             └─ wasm trap: it is over\n"
        )
    );
}

#[test]
fn a_request_is_printed_with_its_host_and_a_port_that_is_not_the_scheme_s() {
    for (uri, told) in [
        ("http://shop.example:80/a", "shop.example/a"),
        ("https://shop.example/a", "shop.example/a"),
        ("http://shop.example:8080/a", "shop.example:8080/a"),
        ("http://[::1]:8080/a", "[::1]:8080/a"),
    ] {
        let text = printed(false, || Incoming::get(uri).start().end());
        assert_eq!(text.split(' ').nth(1), Some(told), "{text}");
    }
}

#[test]
fn what_nobody_is_known_to_have_caused_is_marked() {
    let text = printed(false, || {
        let mut client = outgoing(&Attribution::unknown(), "http://a.example/x");
        client.response(StatusCode::OK, Version::HTTP_11);
        drop(client);
        outgoing(
            &Attribution::ambiguous(Witness::Stack),
            "http://a.example/y",
        )
        .error("refused");
    });
    assert_eq!(
        text,
        "!! GET a.example/x  200   ms  unknown (none)  of no known request (shop)\n\
         !! GET a.example/y  refused   ms  ambiguous (stack)  of no known request (shop)\n"
    );
}

#[test]
fn colour_is_only_there_if_asked_for() {
    let request = || Incoming::get("http://shop.example/").start().end();
    assert!(printed(true, request).contains("\x1b[31mno response\x1b[0m"));
    assert!(!printed(false, request).contains('\x1b'));
}

#[test]
fn a_terminal_is_never_sent_what_a_client_wrote_for_it() {
    let span = clean_path("/a\u{9b}31m");
    assert_eq!(span, "shop.example/a\\u{9b}31m");

    fn clean_path(path: &str) -> String {
        let uri = http::Uri::try_from(format!("http://shop.example{path}"));
        // Everything that `http` accepts must come out harmless.
        let uri = uri.expect("http admits UTF-8 in paths");
        let mut incoming = Incoming::get("http://shop.example/");
        incoming.uri = uri;
        let text = printed(false, || incoming.start().end());
        text.split(' ').nth(1).unwrap().to_owned()
    }
}

#[test]
fn memory_is_bounded_in_open_requests_and_in_outgoing_requests_of_one() {
    let incoming = Incoming::get("http://shop.example/many");
    let text = printed(false, || {
        let server = incoming.start();
        let attribution = exact(&incoming.scope(&server));
        for _ in 0..MAX_CHILDREN + 3 {
            drop(outgoing(&attribution, "http://a.example/"));
        }
    });
    assert_eq!(text.lines().count(), 1 + MAX_CHILDREN + 1);
    assert!(text.ends_with("└─ … and 3 more\n"), "{text}");

    let text = printed(false, || {
        let _open: Vec<_> = (0..MAX_OPEN)
            .map(|_| Incoming::get("http://shop.example/open").start())
            .collect();
        let server = incoming.start();
        drop(outgoing(
            &exact(&incoming.scope(&server)),
            "http://a.example/",
        ));
        drop(server);
        // The open ones end after this, each with its own tree.
    });
    let id = incoming.id.short();
    let mut lines = text.lines();
    let child = lines.next().unwrap();
    assert!(child.ends_with(&format!("of #{id} (shop)")), "{child}");
    assert!(
        lines.next().unwrap().starts_with("GET shop.example/many"),
        "{text}"
    );
    assert!(lines.next().unwrap().contains("too many requests are open"));
    assert_eq!(
        lines
            .filter(|line| line.starts_with("GET shop.example/open"))
            .count(),
        MAX_OPEN
    );
}
