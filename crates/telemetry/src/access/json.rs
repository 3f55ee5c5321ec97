//! A line of JSON.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use headwater_core::{Counters, RequestId};
use http::Method;

use super::escape::{hex, json};
use super::record::Record;
use crate::timestamp::Clock;

/// More than most lines are long, in bytes.
const ROOM: usize = 1024;

/// Appends a field's name with all that stands before its value: of a length that is known here, which
/// takes a few instructions.
macro_rules! name {
    ($line:expr, $name:literal) => {
        $line.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}

/// Appends a number.
macro_rules! number {
    ($line:expr, $name:literal, $number:expr) => {
        name!($line, $name);
        decimal($number, $line);
    };
}

/// Appends what needs no escaping.
macro_rules! quoted {
    ($line:expr, $name:literal, $write:expr) => {
        $line.extend_from_slice(concat!(",\"", $name, "\":\"").as_bytes());
        $write;
        $line.push(b'"');
    };
}

/// Appends text, unless it is empty.
macro_rules! text {
    ($line:expr, $name:literal, $text:expr) => {
        let text: &[u8] = $text;
        if !text.is_empty() {
            name!($line, $name);
            json(text, $line);
        }
    };
}

/// Appends the line of a request. What is not known of it is not there.
///
/// By hand: of a few dozen fields most are numbers, and a serialiser's line takes several times as
/// long.
pub(super) fn write(record: &Record, clock: &mut Clock, line: &mut Vec<u8>) {
    let scope = &record.scope;
    line.reserve(ROOM);
    line.extend_from_slice(b"{\"timestamp\":\"");
    clock.rfc3339(record.ended, line);
    // The target tells these lines from those of the log, if both go to standard error.
    line.extend_from_slice(b"\",\"target\":\"headwater::access\"");
    quoted!(line, "request_id", id(scope.id(), line));
    quoted!(
        line,
        "trace_id",
        hex(&scope.span().trace_id().to_bytes(), line)
    );
    if let Some(client) = scope.client() {
        quoted!(line, "client_address", address(client.ip(), line));
    }
    text!(line, "service", scope.service().as_bytes());
    if let Some(instance) = scope.instance() {
        number!(line, "instance", instance);
    }
    if let Some(caller) = &record.caller {
        text!(line, "caller_service", caller.service.as_bytes());
        if let Some(scope) = &caller.scope {
            quoted!(line, "caller_request_id", id(scope.id(), line));
        }
    }
    text!(line, "route", scope.route().as_bytes());
    match record.method {
        Method::GET => line.extend_from_slice(b",\"method\":\"GET\""),
        ref method => {
            text!(line, "method", method.as_str().as_bytes());
        }
    }
    if let Some(host) = scope.host() {
        text!(line, "host", host.as_str().as_bytes());
    }
    text!(line, "path", record.path().as_bytes());
    quoted!(
        line,
        "protocol",
        line.extend_from_slice(record.protocol().as_bytes())
    );
    if let Some(status) = record.status {
        number!(line, "status", status.as_u16().into());
    }
    if let Some((kind, _)) = record.fault {
        text!(line, "fault", kind.as_bytes());
    }
    if let Some(first_byte) = record.first_byte {
        number!(line, "first_byte_us", microseconds(first_byte));
    }
    number!(line, "total_us", microseconds(record.total()));
    counted(scope.counters(), line);
    if let Some(agent) = &record.user_agent {
        text!(line, "user_agent", agent.as_bytes());
    }
    line.extend_from_slice(b"}\n");
}

fn counted(counters: &Counters, line: &mut Vec<u8>) {
    let Counters {
        outgoing,
        outgoing_denied,
        outgoing_sent_bytes,
        outgoing_received_bytes,
        request_bytes,
        response_bytes,
        log_lines,
        cpu_nanos,
    } = counters;
    number!(line, "request_bytes", Counters::get(request_bytes));
    number!(line, "response_bytes", Counters::get(response_bytes));
    let others = [
        outgoing,
        outgoing_denied,
        outgoing_sent_bytes,
        outgoing_received_bytes,
        log_lines,
    ];
    match others.map(Counters::get) {
        // Many a request does nothing of the kind.
        [0, 0, 0, 0, 0] => line.extend_from_slice(
            b",\"outgoing_requests\":0,\"outgoing_denied\":0,\"outgoing_sent_bytes\":0,\
              \"outgoing_received_bytes\":0,\"log_lines\":0",
        ),
        [outgoing, denied, sent, received, lines] => {
            number!(line, "outgoing_requests", outgoing);
            number!(line, "outgoing_denied", denied);
            number!(line, "outgoing_sent_bytes", sent);
            number!(line, "outgoing_received_bytes", received);
            number!(line, "log_lines", lines);
        }
    }
    match Counters::get(cpu_nanos) {
        // Of what has no guest.
        0 => {}
        nanos => {
            number!(line, "cpu_us", nanos / 1_000);
        }
    }
}

fn id(id: RequestId, line: &mut Vec<u8>) {
    let mut digits = [0; 36];
    id.as_uuid().as_hyphenated().encode_lower(&mut digits);
    line.extend_from_slice(&digits);
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
