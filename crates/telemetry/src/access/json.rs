//! A line of JSON.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use headwater_core::{Counters, RequestId};

use super::escape::{hex, json};
use super::moment::Moment;
use super::record::Record;

/// A field's name with all that stands before its value.
struct Name(&'static [u8]);

macro_rules! name {
    ($name:literal) => {
        Name(concat!(",\"", $name, "\":").as_bytes())
    };
}
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
    fields.id(name!("request_id"), scope.id());
    fields.quoted(name!("trace_id"), |line| {
        hex(&scope.span().trace_id().to_bytes(), line);
    });
    if let Some(client) = scope.client() {
        fields.quoted(name!("client_address"), |line| address(client.ip(), line));
    }
    fields.text(name!("service"), scope.service().as_bytes());
    fields.number(name!("instance"), scope.instance());
    if let Some(caller) = &record.caller {
        fields.text(name!("caller_service"), caller.service.as_bytes());
        if let Some(scope) = &caller.scope {
            fields.id(name!("caller_request_id"), scope.id());
        }
    }
    fields.text(name!("route"), scope.route().as_bytes());
    fields.text(name!("method"), record.method.as_str().as_bytes());
    fields.text(name!("path"), record.uri.path().as_bytes());
    fields.text(name!("protocol"), record.protocol().as_bytes());
    let status = record.status.map(|status| status.as_u16().into());
    fields.number(name!("status"), status);
    if let Some((kind, _)) = record.fault {
        fields.text(name!("fault"), kind.as_bytes());
    }
    fields.number(name!("first_byte_us"), record.first_byte.map(microseconds));
    fields.number(name!("total_us"), Some(microseconds(record.total)));
    for (name, counter) in [
        (name!("request_bytes"), request_bytes),
        (name!("response_bytes"), response_bytes),
        (name!("outgoing_requests"), outgoing),
        (name!("outgoing_sent_bytes"), outgoing_sent_bytes),
        (name!("outgoing_received_bytes"), outgoing_received_bytes),
        (name!("log_lines"), log_lines),
    ] {
        fields.number(name, Some(Counters::get(counter)));
    }
    let cpu_nanos = Counters::get(cpu_nanos);
    fields.number(
        name!("cpu_us"),
        (cpu_nanos > 0).then_some(cpu_nanos / 1_000),
    );
    if let Some(agent) = &record.user_agent {
        fields.text(name!("user_agent"), agent.as_bytes());
    }
    line.extend_from_slice(b"}\n");
}

/// Fields behind a first one.
struct Fields<'a>(&'a mut Vec<u8>);

// === impl Fields ===

impl Fields<'_> {
    fn quoted(&mut self, name: Name, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(name.0);
        self.0.push(b'"');
        write(self.0);
        self.0.push(b'"');
    }

    /// Text, unless it is empty.
    fn text(&mut self, name: Name, text: &[u8]) {
        if !text.is_empty() {
            self.0.extend_from_slice(name.0);
            json(text, self.0);
        }
    }

    fn number(&mut self, name: Name, number: Option<u64>) {
        if let Some(number) = number {
            self.0.extend_from_slice(name.0);
            decimal(number, self.0);
        }
    }

    fn id(&mut self, name: Name, id: RequestId) {
        let mut digits = [0; 36];
        let digits = id.as_uuid().as_hyphenated().encode_lower(&mut digits);
        self.quoted(name, |line| line.extend_from_slice(digits.as_bytes()));
    }
}

fn decimal(number: u64, line: &mut Vec<u8>) {
    match u8::try_from(number) {
        // Most are.
        Ok(digit @ 0..=9) => line.push(b'0' + digit),
        _ => line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// As the standard library has it, whose formatting takes several times as long for the common case.
fn address(address: IpAddr, line: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (i, octet) in address.octets().into_iter().enumerate() {
                if i > 0 {
                    line.push(b'.');
                }
                decimal(octet.into(), line);
            }
        }
        // Into memory, which does not fail.
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
