//! A line of JSON.

use std::io::Write;
use std::time::Duration;

use headwater_core::{Counters, RequestId};

use super::escape::{hex, json};
use super::moment::Moment;
use super::record::Record;

/// Appends the line of a request. What is not known of it is not there.
///
/// By hand: of a few dozen fields most are numbers, and a serialiser's line takes several times as
/// long.
pub(super) fn write(record: &Record, line: &mut Vec<u8>) {
    let scope = &record.scope;
    let Counters {
        outgoing,
        outgoing_sent_bytes,
        outgoing_received_bytes,
        request_bytes,
        response_bytes,
        log_lines,
        cpu_nanos,
    } = scope.counters();

    // The target tells these lines from those of the log, if both go to standard error.
    line.extend(b"{\"timestamp\":\"");
    Moment::of(record.ended).rfc3339(line);
    line.extend(b"\",\"target\":\"headwater::access\"");
    let mut fields = Fields(line);
    fields.id("request_id", scope.id());
    fields.name("trace_id");
    fields.quoted(|line| hex(&scope.span().trace_id().to_bytes(), line));
    if let Some(client) = scope.client() {
        fields.name("client_address");
        fields.quoted(|line| {
            // Into memory, which does not fail.
            let _ = write!(line, "{}", client.ip());
        });
    }
    fields.text("service", scope.service().as_bytes());
    fields.number("instance", scope.instance());
    if let Some(caller) = &record.caller {
        fields.text("caller_service", caller.service.as_bytes());
        if let Some(scope) = &caller.scope {
            fields.id("caller_request_id", scope.id());
        }
    }
    fields.text("route", scope.route().as_bytes());
    fields.text("method", record.method.as_str().as_bytes());
    fields.text("path", record.uri.path().as_bytes());
    fields.text("protocol", record.protocol().as_bytes());
    let status = record.status.map(|status| status.as_u16().into());
    fields.number("status", status);
    if let Some((kind, _)) = record.fault {
        fields.text("fault", kind.as_bytes());
    }
    fields.number("first_byte_us", record.first_byte.map(microseconds));
    fields.number("total_us", Some(microseconds(record.total)));
    for (name, counter) in [
        ("request_bytes", request_bytes),
        ("response_bytes", response_bytes),
        ("outgoing_requests", outgoing),
        ("outgoing_sent_bytes", outgoing_sent_bytes),
        ("outgoing_received_bytes", outgoing_received_bytes),
        ("log_lines", log_lines),
    ] {
        fields.number(name, Some(Counters::get(counter)));
    }
    let cpu_nanos = Counters::get(cpu_nanos);
    fields.number("cpu_us", (cpu_nanos > 0).then_some(cpu_nanos / 1_000));
    if let Some(agent) = &record.user_agent {
        fields.text("user_agent", agent.as_bytes());
    }
    line.extend(b"}\n");
}

/// Fields behind a first one.
struct Fields<'a>(&'a mut Vec<u8>);

// === impl Fields ===

impl Fields<'_> {
    fn name(&mut self, name: &str) {
        self.0.extend(b",\"");
        self.0.extend(name.as_bytes());
        self.0.extend(b"\":");
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.push(b'"');
        write(self.0);
        self.0.push(b'"');
    }

    /// Text, unless it is empty.
    fn text(&mut self, name: &str, text: &[u8]) {
        if !text.is_empty() {
            self.name(name);
            json(text, self.0);
        }
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.name(name);
            self.0.extend(itoa::Buffer::new().format(number).as_bytes());
        }
    }

    fn id(&mut self, name: &str, id: RequestId) {
        self.name(name);
        let mut digits = [0; 36];
        let digits = id.as_uuid().as_hyphenated().encode_lower(&mut digits);
        self.quoted(|line| line.extend(digits.as_bytes()));
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
