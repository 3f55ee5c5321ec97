//! A line of Apache's combined format.

use std::io::Write;
use std::time::SystemTime;

use headwater_core::Counters;
use http::{HeaderValue, StatusCode};

use super::escape::apache;
use super::record::Record;
use crate::timestamp;

/// Appends the line `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`, by the names of Apache's
/// `mod_log_config`. Unknown values are `-`.
pub(super) fn write(record: &Record, line: &mut Vec<u8>) {
    let client = record.scope.client();
    let client = client.map_or_else(|| "-".to_owned(), |client| client.ip().to_string());
    let date = timestamp::apache(SystemTime::now());
    // Writes to memory do not fail.
    let _ = write!(line, "{client} - - [{date}] \"");
    apache(record.method.as_str().as_bytes(), line);
    line.push(b' ');
    apache(record.path().as_bytes(), line);
    // 499 as in nginx, for a client that went away before the answer.
    let fault = record.fault.map(|(_, status)| status);
    let status = record.status.or(fault);
    let status = status.as_ref().map_or("-", StatusCode::as_str);
    let bytes = match Counters::get(&record.scope.counters().response_bytes) {
        0 => "-".to_owned(),
        bytes => bytes.to_string(),
    };
    let _ = write!(line, " {}\" {status} {bytes}", record.protocol());
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
