//! A line of JSON.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use headwater_core::{Counters, RequestId, TraceId};
use http::HeaderValue;
use http::uri::Authority;
use serde::{Serialize, Serializer};

use super::escape::{ascii, cut};
use super::record::Record;
use crate::timestamp;

/// The line of a request. Unknown values are omitted.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    /// Distinguishes these lines from the log's, if both go to standard error.
    target: &'static str,
    #[serde(serialize_with = "display")]
    request_id: RequestId,
    #[serde(serialize_with = "display")]
    trace_id: TraceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    caller_service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_request_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    route: &'a str,
    method: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: Cow<'a, str>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_us: Option<u64>,
    total_us: u64,
    request_bytes: u64,
    response_bytes: u64,
    outgoing_requests: u64,
    outgoing_denied: u64,
    outgoing_sent_bytes: u64,
    outgoing_received_bytes: u64,
    log_lines: u64,
    /// Omitted if the handler is not a guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: Cow<'a, str>,
}

/// The initial capacity of a line, in bytes: longer than most lines.
const ROOM: usize = 1024;

pub(super) fn line(record: &Record) -> Vec<u8> {
    let scope = &record.scope;
    let counters = scope.counters();
    let count = Counters::get;
    let caller = record.caller.as_ref();
    let cpu_nanos = count(&counters.cpu_nanos);
    let fields = Line {
        timestamp: timestamp::rfc3339(SystemTime::now()),
        target: "headwater::access",
        request_id: scope.id(),
        trace_id: scope.span().trace_id(),
        client_address: scope.client().map(|client| client.ip()),
        service: scope.service(),
        instance: scope.instance(),
        caller_service: caller.map_or("", |caller| &caller.service),
        caller_request_id: caller.and_then(|caller| Some(caller.scope.as_ref()?.id().to_string())),
        route: scope.route(),
        method: text(record.method.as_str().as_bytes()),
        host: text(scope.host().map_or("", Authority::as_str).as_bytes()),
        path: text(record.path().as_bytes()),
        protocol: record.protocol(),
        status: record.status.map(|status| status.as_u16()),
        fault: record.fault.map(|(kind, _)| kind),
        first_byte_us: record.first_byte.map(microseconds),
        total_us: microseconds(record.total),
        request_bytes: count(&counters.request_bytes),
        response_bytes: count(&counters.response_bytes),
        outgoing_requests: count(&counters.outgoing),
        outgoing_denied: count(&counters.outgoing_denied),
        outgoing_sent_bytes: count(&counters.outgoing_sent_bytes),
        outgoing_received_bytes: count(&counters.outgoing_received_bytes),
        log_lines: count(&counters.log_lines),
        cpu_us: (cpu_nanos > 0).then_some(cpu_nanos / 1_000),
        user_agent: text(
            record
                .user_agent
                .as_ref()
                .map_or(b"", HeaderValue::as_bytes),
        ),
    };
    let mut line = Vec::with_capacity(ROOM);
    // Cannot fail: it writes to memory, and all keys are text.
    let _ = serde_json::to_writer(&mut line, &fields);
    let mut line = ascii(line);
    line.push(b'\n');
    line
}

/// Truncates text to its maximum length. Invalid UTF-8 becomes U+FFFD.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(cut(bytes))
}

fn display<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
