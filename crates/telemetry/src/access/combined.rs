//! A line of Apache's combined format.

use std::io::Write;

use headwater_core::Counters;
use http::HeaderValue;

use super::escape::apache;
use super::record::Record;
use crate::timestamp::Clock;

/// Appends `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`, by the names of Apache's
/// `mod_log_config`. What is not known is `-`.
pub(super) fn write(record: &Record, clock: &mut Clock, line: &mut Vec<u8>) {
    match record.scope.client() {
        Some(client) => {
            // Into memory, which does not fail.
            let _ = write!(line, "{}", client.ip());
        }
        None => line.push(b'-'),
    }
    line.extend(b" - - [");
    clock.apache(record.ended, line);
    line.extend(b"] \"");
    apache(record.method.as_str().as_bytes(), line);
    line.push(b' ');
    apache(record.path().as_bytes(), line);
    line.push(b' ');
    line.extend(record.protocol().as_bytes());
    line.extend(b"\" ");
    // Of a client that went away before there was an answer: 499, as nginx has it.
    let fault = record.fault.map(|(_, status)| status);
    match record.status.or(fault) {
        Some(status) => line.extend(status.as_str().as_bytes()),
        None => line.push(b'-'),
    }
    line.push(b' ');
    match Counters::get(&record.scope.counters().response_bytes) {
        0 => line.push(b'-'),
        bytes => line.extend(itoa::Buffer::new().format(bytes).as_bytes()),
    }
    quoted(record.referer.as_ref(), line);
    quoted(record.user_agent.as_ref(), line);
    line.push(b'\n');
}

fn quoted(header: Option<&HeaderValue>, line: &mut Vec<u8>) {
    line.extend(b" \"");
    match header {
        Some(value) => apache(value.as_bytes(), line),
        None => line.push(b'-'),
    }
    line.push(b'"');
}
