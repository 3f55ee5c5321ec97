use probing::{Failure, Plan, Read, Report, Send, error_code};
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    self, Fields, FutureIncomingResponse, FutureTrailers, IncomingBody, OutgoingBody,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{OutputStream, StreamError};

use crate::request::Prepared;

error_code!(name_of, types);

const A_MILLISECOND: u64 = 1_000_000;

/// Sends the request and its body, and reads the response.
pub fn run(plan: &Plan, prepared: Prepared) -> Report {
    let Prepared {
        request,
        options,
        body,
        trailers,
    } = prepared;
    let response = match outgoing_handler::handle(request, Some(options)) {
        Ok(response) => response,
        Err(code) => return Report::failed(Failure::with("send", name_of(code))),
    };
    let Some(body) = body else {
        return read(plan, &response);
    };

    let stream = body.write().expect("nobody else has taken it");
    let mut sent = write(plan, &stream, &response);
    let report = match plan.send {
        Send::Whole | Send::Trickle => {
            drop(stream);
            sent = sent.and(finish(body, trailers));
            read(plan, &response)
        }
        Send::Cut => {
            drop((stream, body));
            read(plan, &response)
        }
        Send::Hold => read(plan, &response),
        Send::Late => {
            let report = read(plan, &response);
            sent = sent.and(nothing(&stream));
            drop(stream);
            sent = sent.and(finish(body, trailers));
            report
        }
    };
    Report {
        sent: sent.err(),
        ..report
    }
}

/// Sends a request without writing its body.
pub fn start(prepared: Prepared) -> Result<FutureIncomingResponse, Failure> {
    outgoing_handler::handle(prepared.request, Some(prepared.options))
        .map_err(|code| Failure::with("send", name_of(code)))
}

/// Writes the body until it is complete, or until the response has arrived and the rest is not
/// read.
fn write(
    plan: &Plan,
    stream: &OutputStream,
    response: &FutureIncomingResponse,
) -> Result<(), Failure> {
    let bytes = plan.body_bytes();
    let mut rest = &bytes[..];
    let (room, answered) = (stream.subscribe(), response.subscribe());
    while !rest.is_empty() {
        let permitted = stream.check_write().map_err(failed)?;
        let most = match plan.send {
            Send::Trickle => 1,
            _ => rest.len(),
        };
        let length = usize::try_from(permitted).unwrap_or(usize::MAX).min(most);
        if length == 0 {
            if poll(&[&room, &answered]) == [1] {
                return Err(Failure::new("write", "unwanted"));
            }
            continue;
        }
        let (chunk, later) = rest.split_at(length);
        stream.write(chunk).map_err(failed)?;
        rest = later;
        if plan.send == Send::Trickle {
            subscribe_duration(A_MILLISECOND).block();
        }
    }
    Ok(())
}

/// Writes zero bytes, as some guests do at the end of their data.
fn nothing(stream: &OutputStream) -> Result<(), Failure> {
    stream.check_write().map_err(failed)?;
    stream.write(&[]).map_err(failed)?;
    stream.blocking_flush().map_err(failed)
}

fn finish(body: OutgoingBody, trailers: Option<Fields>) -> Result<(), Failure> {
    OutgoingBody::finish(body, trailers).map_err(|code| Failure::with("finish", name_of(code)))
}

/// Waits for the response and reads it.
pub fn read(plan: &Plan, response: &FutureIncomingResponse) -> Report {
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Report::failed(Failure::with("send", name_of(code))),
        _ => return Report::failed(Failure::new("send", "nothing")),
    };
    let mut report = Report {
        status: Some(response.status()),
        headers: response.headers().entries(),
        ..Report::default()
    };
    if plan.read == Read::Never {
        return report;
    }
    let body = response.consume().expect("nobody else has taken it");
    let stream = body.stream().expect("nobody else has taken it");
    loop {
        match stream.blocking_read(16 * 1024) {
            Ok(bytes) => {
                report.read(&bytes);
                if plan.read == Read::Part && !bytes.is_empty() {
                    return report;
                }
            }
            Err(StreamError::Closed) => break,
            Err(error) => {
                report.fail(Failure {
                    phase: "body",
                    ..failed(error)
                });
                break;
            }
        }
    }
    drop(stream);
    match trailers(&IncomingBody::finish(body)) {
        Ok(Some(trailers)) => report.trailers = trailers.entries(),
        Ok(None) => {}
        Err(failure) => report.fail(failure),
    }
    report
}

fn trailers(future: &FutureTrailers) -> Result<Option<Fields>, Failure> {
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(trailers))) => Ok(trailers),
        Some(Ok(Err(code))) => Err(Failure::with("trailers", name_of(code))),
        _ => Err(Failure::new("trailers", "nothing")),
    }
}

/// Converts a stream's error: the `error-code` behind it, if there is one.
fn failed(error: StreamError) -> Failure {
    match error {
        StreamError::Closed => Failure::new("write", "closed"),
        StreamError::LastOperationFailed(error) => match types::http_error_code(&error) {
            Some(code) => Failure::with("write", name_of(code)),
            None => Failure::with(
                "write",
                ("no-code", probing::text(Some(error.to_debug_string()))),
            ),
        },
    }
}
