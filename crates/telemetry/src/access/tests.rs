use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{
    Caller, Counters, Fault, RequestId, RequestScope, ScopeParts, SpanContext, SpanId, TraceFlags,
    TraceId,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use serde_json::Value;

use super::*;
use crate::FileConfig;
use crate::test_support::Buffer;

const LONG: Duration = Duration::from_secs(60);

fn scope(service: &str, client: Option<&str>) -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::new(
            TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
            SpanId::from(1),
            TraceFlags::SAMPLED,
            false,
            Default::default(),
        ),
        service: service.into(),
        route: "/api/...".into(),
        host: Some(Authority::from_static("shop.example:8443")),
        client: client.map(|client| client.parse().unwrap()),
        started: Instant::now(),
        deadline: None,
    })
}

/// Returns the unfinished entry of a request with these headers.
fn begin(
    log: &AccessLog,
    scope: &Arc<RequestScope>,
    uri: &str,
    headers: &[(HeaderName, &[u8])],
    caller: Option<&Caller>,
) -> AccessEntry {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()))
        .collect();
    log.begin(AccessStart {
        scope,
        method: &Method::GET,
        uri: &uri.parse::<Uri>().unwrap(),
        version: Version::HTTP_2,
        headers: &headers,
        caller,
    })
}

fn flush(log: &AccessLog) -> bool {
    log.writer().is_none_or(|writer| writer.flush(LONG))
}

/// Returns the contents of a log at its end.
fn log(format: AccessFormat, sample: f64) -> (AccessLog, impl FnOnce() -> String) {
    let buffer = Buffer::default();
    let log = AccessLog::to_writer(format, sample, Box::new(buffer.clone())).unwrap();
    let ended = log.clone();
    (log, move || {
        assert!(flush(&ended));
        buffer.text()
    })
}

#[test]
fn a_line_of_json_has_all_that_is_known_of_a_request() {
    let (log, end) = log(AccessFormat::Json, 1.0);
    let scope = scope("shop", Some("192.0.2.7:4711"));
    let agent = (http::header::USER_AGENT, b"curl/8.0".as_slice());
    let referer = (
        http::header::REFERER,
        b"http://a.example/?token=1".as_slice(),
    );
    let uri = "http://shop.example/api/items?token=secret";
    let mut entry = begin(&log, &scope, uri, &[agent, referer], None);
    scope.set_instance(4);
    let counters = scope.counters();
    for (counter, amount) in [
        (&counters.outgoing, 1),
        (&counters.outgoing_denied, 8),
        (&counters.outgoing_sent_bytes, 2),
        (&counters.outgoing_received_bytes, 3),
        (&counters.request_bytes, 4),
        (&counters.response_bytes, 5),
        (&counters.log_lines, 6),
        (&counters.cpu_nanos, 7_999),
    ] {
        Counters::add(counter, amount);
    }
    entry.answered(StatusCode::OK);
    entry.failed(&Fault::trap());
    entry.end();
    entry.end();

    let text = end();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        !text.contains("secret") && !text.contains("token"),
        "{text}"
    );
    let line: Value = serde_json::from_str(&text).unwrap();
    for (name, value) in [
        ("target", Value::from("headwater::access")),
        ("request_id", scope.id().to_string().into()),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c".into()),
        ("client_address", "192.0.2.7".into()),
        ("service", "shop".into()),
        ("instance", 4.into()),
        ("route", "/api/...".into()),
        ("method", "GET".into()),
        ("host", "shop.example:8443".into()),
        ("path", "/api/items".into()),
        ("protocol", "HTTP/2.0".into()),
        ("status", 200.into()),
        ("fault", "trap".into()),
        ("outgoing_requests", 1.into()),
        ("outgoing_denied", 8.into()),
        ("outgoing_sent_bytes", 2.into()),
        ("outgoing_received_bytes", 3.into()),
        ("request_bytes", 4.into()),
        ("response_bytes", 5.into()),
        ("log_lines", 6.into()),
        ("cpu_us", 7.into()),
        ("user_agent", "curl/8.0".into()),
    ] {
        assert_eq!(line[name], value, "{name}: {text}");
    }
    assert!(line["first_byte_us"].as_u64().unwrap() <= line["total_us"].as_u64().unwrap());
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'));
    assert_eq!(line.as_object().unwrap().len(), 25, "{text}");
}

#[test]
fn a_line_says_who_called_and_has_nothing_of_what_is_not_known() {
    let (log, end) = log(AccessFormat::Json, 1.0);
    let outer = scope("outer", None);
    let caller = Caller {
        service: "outer".into(),
        scope: Some(outer.clone()),
    };
    let inner = scope("", None);
    begin(&log, &inner, "/", &[], Some(&caller)).end();
    let text = end();
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["caller_service"], "outer");
    assert_eq!(line["caller_request_id"], outer.id().to_string());
    for name in [
        "client_address",
        "service",
        "instance",
        "status",
        "fault",
        "first_byte_us",
        "cpu_us",
        "user_agent",
    ] {
        assert!(line.get(name).is_none(), "{name}: {text}");
    }
}

#[test]
fn a_combined_line_is_apache_s_and_no_client_can_make_it_look_like_another() {
    let (log, end) = log(AccessFormat::Combined, 1.0);
    let scope = scope("shop", Some("[2001:db8::1]:4711"));
    let forged = b"x\" 200 1 \"\xe2\x80\xae\\".as_slice();
    let headers = [
        (http::header::USER_AGENT, forged),
        (http::header::REFERER, b"http://a.example/?q=1".as_slice()),
    ];
    let mut entry = begin(
        &log,
        &scope,
        "http://shop.example/a\"b?secret",
        &headers,
        None,
    );
    Counters::add(&scope.counters().response_bytes, 12);
    entry.answered(StatusCode::NOT_FOUND);
    entry.end();
    let mut gone = begin(&log, &scope_without_bytes(), "/", &[], None);
    gone.failed(&Fault::client(
        StatusCode::from_u16(499).unwrap(),
        "client_closed",
        "the client went away",
    ));
    gone.end();

    let text = end();
    let [first, second] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    let (before, rest) = first.split_once('[').unwrap();
    let (date, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "2001:db8::1 - - ");
    assert!(date.ends_with(" +0000"), "{date}");
    assert_eq!(
        after,
        r#" "GET /a\"b HTTP/2.0" 404 12 "http://a.example/?q=1" "x\" 200 1 \"\xe2\x80\xae\\""#
    );
    assert!(second.starts_with("- - - ["), "{second}");
    assert!(
        second.ends_with(r#""GET / HTTP/2.0" 499 - "-" "-""#),
        "{second}"
    );
}

fn scope_without_bytes() -> Arc<RequestScope> {
    scope("shop", None)
}

#[test]
fn a_sample_has_its_share_of_the_requests_and_every_one_that_failed() {
    const REQUESTS: usize = 4000;
    for (share, expected) in [(0.0, 0..=0), (0.25, 800..=1200), (1.0, REQUESTS..=REQUESTS)] {
        let (log, end) = log(AccessFormat::Json, share);
        for _ in 0..REQUESTS {
            let mut entry = begin(&log, &scope("shop", None), "/fine", &[], None);
            entry.answered(StatusCode::NOT_FOUND);
            entry.end();
        }
        for cut in [false, true] {
            let mut entry = begin(&log, &scope("shop", None), "/failed", &[], None);
            if cut {
                entry.answered(StatusCode::OK);
                entry.failed(&Fault::trap());
            } else {
                entry.answered(StatusCode::BAD_GATEWAY);
            }
            entry.end();
        }
        let text = end();
        let fine = text.matches("/fine").count();
        assert!(expected.contains(&fine), "{fine} of {share}");
        assert_eq!(text.matches("/failed").count(), 2);
    }
}

#[test]
fn a_log_that_is_dropped_still_writes_what_it_has() {
    /// Signals its drop, at which the thread has ended.
    struct Told(Buffer, std::sync::mpsc::Sender<()>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Told {
        fn drop(&mut self) {
            self.1.send(()).ok();
        }
    }
    let (sender, ended) = std::sync::mpsc::channel();
    let buffer = Buffer::default();
    let writer = Box::new(Told(buffer.clone(), sender));
    let log = AccessLog::to_writer(AccessFormat::Json, 1.0, writer).unwrap();
    let mut entry = begin(&log, &scope("shop", None), "/", &[], None);
    drop(log);
    entry.end();
    ended.recv_timeout(LONG).unwrap();
    assert_eq!(buffer.text().lines().count(), 1);
}

#[test]
fn no_log_costs_nothing_and_notes_nothing() {
    let log = AccessLog::default();
    assert!(!log.enabled());
    begin(&log, &scope("shop", None), "/", &[], None).end();
    assert_eq!(log.counts(), OutputCounts::default());
    assert!(log.writer().is_none());
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_the_remedy() {
    let config = AccessConfig {
        to: AccessOutput::File(FileConfig::at("/no/such/directory/access.log")),
        ..AccessConfig::default()
    };
    let error = AccessLog::start(&config).unwrap_err().to_string();
    assert!(error.contains("/no/such/directory/access.log"), "{error}");
    assert!(error.contains("its directory must exist"), "{error}");
}

/// Measures the time of a request's entry. Ignored by default: it asserts nothing.
#[test]
#[ignore = "measures; run it with --release -- --ignored --nocapture"]
fn what_a_note_costs() {
    const NOTES: u32 = 1_000_000;
    for format in [AccessFormat::Json, AccessFormat::Combined] {
        let log = AccessLog::to_writer(format, 1.0, Box::new(io::sink())).unwrap();
        let scope = scope("shop", Some("192.0.2.7:4711"));
        let mut headers = HeaderMap::new();
        let agent = HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko");
        headers.insert(http::header::USER_AGENT, agent);
        let uri: Uri = "http://shop.example/api/items?page=1".parse().unwrap();
        let started = Instant::now();
        for _ in 0..NOTES {
            let mut entry = log.begin(AccessStart {
                scope: &scope,
                method: &Method::GET,
                uri: &uri,
                version: Version::HTTP_11,
                headers: &headers,
                caller: None,
            });
            entry.answered(StatusCode::OK);
            entry.end();
        }
        let each = started.elapsed() / NOTES;
        assert!(flush(&log));
        println!("{format:?}: {each:?} each, {:?}", log.counts());
    }
}
