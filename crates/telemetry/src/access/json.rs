//! A line of JSON.
//!
//! By hand, because a serializer takes 3 percent of the CPU time of a request with a fixed answer: it escapes
//! even the names of the fields.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use headwater_core::{Counters, RequestId, TraceId};
use http::HeaderValue;
use http::uri::Authority;
use uuid::Uuid;

use super::escape::json;
use super::record::Record;
use crate::timestamp::Rfc3339;

/// The value of a field.
trait Value {
    /// Returns false if the field is omitted.
    fn is_known(&self) -> bool {
        true
    }

    fn append(&self, line: &mut Vec<u8>);
}

/// Appends fields, each after a comma.
macro_rules! append {
    ($line:ident, $($name:literal: $value:expr,)*) => {$(
        let value = $value;
        if value.is_known() {
            $line.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
            value.append($line);
        }
    )*};
}

/// Appends the line of a request. Unknown values are omitted.
pub(super) fn write(record: &Record, line: &mut Vec<u8>) {
    let scope = &record.scope;
    let counters = scope.counters();
    let count = Counters::get;
    let caller = record.caller.as_ref();
    let agent = record.user_agent.as_ref();
    let cpu_nanos = count(&counters.cpu_nanos);
    line.extend_from_slice(b"{\"timestamp\":\"");
    line.extend_from_slice(Rfc3339::of(SystemTime::now()).as_bytes());
    // The target distinguishes these lines from the log's, if both go to standard error.
    line.extend_from_slice(b"\",\"target\":\"headwater::access\"");
    append!(line,
        "request_id": scope.id(),
        "trace_id": scope.span().trace_id(),
        "client_address": scope.client().map(|client| client.ip()),
        "service": scope.service().as_bytes(),
        "instance": scope.instance(),
        "caller_service": caller.map_or("", |caller| &caller.service).as_bytes(),
        "caller_request_id": caller.and_then(|caller| Some(caller.scope.as_ref()?.id())),
        "route": scope.route().as_bytes(),
        "method": record.method.as_str().as_bytes(),
        "host": scope.host().map_or("", Authority::as_str).as_bytes(),
        "path": record.path().as_bytes(),
        "protocol": record.protocol().as_bytes(),
        "status": record.status.map(|status| u64::from(status.as_u16())),
        "fault": record.fault.map_or("", |(kind, _)| kind).as_bytes(),
        "first_byte_us": record.first_byte.map(microseconds),
        "total_us": microseconds(record.total),
        "request_bytes": count(&counters.request_bytes),
        "response_bytes": count(&counters.response_bytes),
        "outgoing_requests": count(&counters.outgoing),
        "outgoing_denied": count(&counters.outgoing_denied),
        "outgoing_sent_bytes": count(&counters.outgoing_sent_bytes),
        "outgoing_received_bytes": count(&counters.outgoing_received_bytes),
        "log_lines": count(&counters.log_lines),
        // Omitted if the handler is not a guest.
        "cpu_us": (cpu_nanos > 0).then_some(cpu_nanos / 1_000),
        "user_agent": agent.map_or(&b""[..], HeaderValue::as_bytes),
    );
    line.extend_from_slice(b"}\n");
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

// === impl Value ===

impl<V: Value> Value for Option<V> {
    fn is_known(&self) -> bool {
        self.is_some()
    }

    fn append(&self, line: &mut Vec<u8>) {
        self.iter().for_each(|value| value.append(line));
    }
}

impl Value for &[u8] {
    fn is_known(&self) -> bool {
        !self.is_empty()
    }

    fn append(&self, line: &mut Vec<u8>) {
        json(self, line);
    }
}

impl Value for u64 {
    fn append(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
    }
}

impl Value for RequestId {
    fn append(&self, line: &mut Vec<u8>) {
        let mut digits = [0; 36];
        json(
            self.as_uuid()
                .as_hyphenated()
                .encode_lower(&mut digits)
                .as_bytes(),
            line,
        );
    }
}

impl Value for TraceId {
    fn append(&self, line: &mut Vec<u8>) {
        let mut digits = [0; 32];
        let id = Uuid::from_bytes(self.to_bytes());
        json(id.as_simple().encode_lower(&mut digits).as_bytes(), line);
    }
}

impl Value for IpAddr {
    fn append(&self, line: &mut Vec<u8>) {
        // Cannot fail: it writes to memory.
        let _ = write!(line, "\"{self}\"");
    }
}
