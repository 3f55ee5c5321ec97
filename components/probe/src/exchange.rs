use std::pin::pin;

use futures::future::{Either, FutureExt, select};
use guest::{BodyEnd, ErrorCode, Request, Response, Trailers, wait};
use probing::{Failure, Plan, Read, Report, Send, error_code};
use wasip3::http::{client, types};
use wasip3::wit_bindgen::{FutureWriter, StreamResult, StreamWriter};
use wasip3::wit_future;

use crate::request::Prepared;

error_code!(name_of, types);

/// Sends the request and its body, and reads the response, at the same time.
pub async fn run(plan: &Plan, prepared: Prepared) -> Report {
    let Prepared {
        request,
        body,
        end,
        trailers,
        sent,
    } = prepared;
    let (mut report, written) = {
        let writing = pin!(write(plan, body, end, trailers));
        let reading = pin!(exchange(plan, request));
        // With the response, it no longer waits for an upstream that does not read the rest of the
        // body, and drops it here.
        match select(writing, reading).await {
            Either::Left((written, reading)) => (reading.await, written),
            Either::Right((report, writing)) => (report, writing.now_or_never().flatten()),
        }
    };
    match (plan.send, written) {
        (Send::Hold, _) => return report,
        (Send::Late, Some(Unfinished(mut body, end, trailers))) => {
            if let Some(body) = &mut body {
                body.write_all(Vec::new()).await;
            }
            finish(body, end, trailers).await;
        }
        _ => {}
    }
    if let Err(code) = sent.await {
        report.sent = Some(Failure::with("sent", name_of(code)));
    }
    report
}

/// A body that is written but not finished.
struct Unfinished(
    Option<StreamWriter<u8>>,
    FutureWriter<BodyEnd>,
    Option<Trailers>,
);

async fn write(
    plan: &Plan,
    mut body: Option<StreamWriter<u8>>,
    end: FutureWriter<BodyEnd>,
    trailers: Option<Trailers>,
) -> Option<Unfinished> {
    if let Some(stream) = &mut body
        && !write_all(plan, stream).await
    {
        // Nothing reads it any more; another write would trap.
        body = None;
    }
    match plan.send {
        Send::Whole | Send::Trickle => finish(body, end, trailers).await,
        Send::Cut => {
            drop(body);
            let why = ErrorCode::InternalError(Some("cut by the guest".to_owned()));
            let _ = end.write(Err(why)).await;
        }
        Send::Late | Send::Hold => return Some(Unfinished(body, end, trailers)),
    }
    None
}

/// Returns true if everything was taken.
async fn write_all(plan: &Plan, stream: &mut StreamWriter<u8>) -> bool {
    let bytes = plan.body_bytes();
    if plan.send != Send::Trickle {
        return stream.write_all(bytes).await.is_empty();
    }
    for byte in bytes {
        if !stream.write_all(vec![byte]).await.is_empty() {
            return false;
        }
        wait(1).await;
    }
    true
}

async fn finish(
    body: Option<StreamWriter<u8>>,
    end: FutureWriter<BodyEnd>,
    trailers: Option<Trailers>,
) {
    drop(body);
    let _ = end.write(Ok(trailers)).await;
}

async fn exchange(plan: &Plan, request: Request) -> Report {
    let response = match client::send(request).await {
        Ok(response) => response,
        Err(code) => return Report::failed(Failure::with("send", name_of(code))),
    };
    let mut report = Report {
        status: Some(response.get_status_code()),
        headers: response.get_headers().copy_all(),
        ..Report::default()
    };
    if plan.read == Read::Never {
        return report;
    }
    let (_, accepted) = wit_future::new(|| Ok(()));
    let (mut body, end) = Response::consume_body(response, accepted);
    let mut chunk = Vec::with_capacity(16 * 1024);
    loop {
        let (result, read) = body.read(chunk).await;
        report.read(&read);
        if plan.read == Read::Part && !read.is_empty() {
            return report;
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
        chunk = read;
        chunk.clear();
    }
    drop(body);
    match end.await {
        Ok(Some(trailers)) => report.trailers = trailers.copy_all(),
        Ok(None) => {}
        Err(code) => report.fail(Failure::with("body", name_of(code))),
    }
    report
}
