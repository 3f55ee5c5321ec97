//! A `wasi:http/proxy@0.2` component that makes outgoing requests: attribution for guests of the
//! older WASI version.
//!
//! `GET /?to=URL&k=1`; with `echo`, its calls carry the `traceparent` that it received; with
//! `after=50`, it answers first, and makes the calls this many milliseconds after the last byte
//! that it announced.

use futures::future::ready;
use futures::{StreamExt, stream};
use wstd::http::{Body, Client, Error, HeaderValue, Request, Response, body::Bytes};
use wstd::{task, time::Duration};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut all = form_urlencoded::parse(query.as_bytes());
        all.find(|(n, _)| n == name)
            .map(|(_, value)| value.into_owned())
    };
    let Some(to) = parameter("to") else {
        return answer(400, "which upstream? add ?to=http://HOST:PORT\n");
    };
    let calls = parameter("k").and_then(|k| k.parse().ok()).unwrap_or(1u64);
    let tag = request
        .headers()
        .get("x-tag")
        .map(|tag| tag.as_bytes())
        .unwrap_or_default();

    let parent = request.headers().get("traceparent");
    let parent = parent.filter(|_| parameter("echo").is_some());
    if let Some(after) = parameter("after").and_then(|after| after.parse().ok()) {
        let (to, tag, parent) = (to.clone(), tag.to_vec(), parent.cloned());
        return later(tag.clone(), async move {
            task::sleep(Duration::from_millis(after)).await;
            // Failures are ignored.
            let _ = make(calls, &to, &tag, parent.as_ref()).await;
        });
    }
    if let Err(problem) = make(calls, &to, tag, parent).await {
        return answer(502, format!("{problem}\n"));
    }
    let mut body = tag.to_vec();
    body.extend(format!(": {calls} of {calls} answered\n").bytes());
    answer(200, body)
}

/// Returns an answer whose body has its announced length; for the guest it ends when the work is
/// done.
fn later(
    mut tag: Vec<u8>,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<Response<Body>, Error> {
    tag.extend(b": answered\n");
    let length = tag.len();
    let text = stream::once(async { Bytes::from(tag) });
    // It yields no byte, because nothing reads any more.
    let rest = stream::once(work).filter_map(|()| ready(None));
    let response = Response::builder()
        .header("content-type", "text/plain")
        .header("content-length", length);
    Ok(response.body(Body::from_stream(text.chain(rest)))?)
}

/// Makes this many outgoing requests, one after another.
async fn make(calls: u64, to: &str, tag: &[u8], parent: Option<&HeaderValue>) -> Result<(), Error> {
    for i in 0..calls {
        call(
            &format!("{}/call/{i}", to.trim_end_matches('/')),
            tag,
            parent,
        )
        .await?;
    }
    Ok(())
}

/// Makes one outgoing request, and reads the answer to its end. Any status is an answer.
async fn call(url: &str, tag: &[u8], parent: Option<&HeaderValue>) -> Result<(), Error> {
    let mut request = Request::get(url).header("x-tag", tag);
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    let request = request.body(Body::empty())?;
    let response = Client::new().send(request).await?;
    response.into_body().contents().await?;
    Ok(())
}

fn answer(status: u16, body: impl Into<Bytes>) -> Result<Response<Body>, Error> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain");
    Ok(response.body(body.into().into())?)
}
