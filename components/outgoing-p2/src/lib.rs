//! A `wasi:http/proxy@0.2` component that calls out: what guests of the older WASI version get.
//!
//! `GET /?to=URL&k=1`; with `echo`, its calls carry the `traceparent` that it was given.

use wstd::http::{Body, Client, Error, HeaderValue, Request, Response, body::Bytes};

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
    for i in 0..calls {
        let url = format!("{}/call/{i}", to.trim_end_matches('/'));
        if let Err(problem) = call(&url, tag, parent).await {
            return answer(502, format!("{problem}\n"));
        }
    }
    let mut body = tag.to_vec();
    body.extend(format!(": {calls} of {calls} answered\n").bytes());
    answer(200, body)
}

/// One outgoing request, and its answer read to the end. Any status is an answer.
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
