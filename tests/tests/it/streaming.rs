//! Promise: bodies of any size are streamed in bounded memory.

use anyhow::{Context, Result, ensure};
use headwater_tests::client::{self, Client};
use headwater_tests::guests::guest;
use headwater_tests::pattern::{self, Checker};
use headwater_tests::{Host, within};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The size of a large body.
const LARGE: usize = 100 << 20;
/// The maximum growth of the host while one passes. A buffered body would need more.
const GROWTH: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_are_echoed_unchanged_in_bounded_memory() -> Result<()> {
    let host = Streaming::start().await?;
    let request = Request::post(host.url("/echo"))
        .header("content-type", "application/x-pattern")
        .body(client::streamed(pattern::chunks(LARGE), None))?;
    let response = Client::new().open(request).await?;
    ensure!(response.status() == 200);
    ensure!(response.headers()["content-type"] == "application/x-pattern");

    let mut checker = Checker::default();
    each_chunk(response, |bytes| checker.check(bytes)).await?;
    ensure!(checker.length() == LARGE, "{} came back", checker.length());
    host.stayed_small()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_go_up_in_bounded_memory() -> Result<()> {
    let host = Streaming::start().await?;
    let request =
        Request::post(host.url("/count")).body(client::streamed(pattern::chunks(LARGE), None))?;
    let answer = Client::new().send(request).await?;
    ensure!(answer.text() == format!("{LARGE}\n"), "{}", answer.text());
    host.stayed_small()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_come_down_in_bounded_memory() -> Result<()> {
    let host = Streaming::start().await?;
    let request = Request::get(host.url(&format!("/bytes?n={LARGE}"))).body(client::empty())?;
    let response = Client::new().open(request).await?;
    let mut length = 0;
    each_chunk(response, |bytes| {
        length += bytes.len();
        Ok(())
    })
    .await?;
    ensure!(length == LARGE, "{length} came down");
    host.stayed_small()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_makes_the_guest_wait_and_the_host_hold_little() -> Result<()> {
    let host = Streaming::start().await?;
    let request = Request::get(host.url(&format!("/bytes?n={LARGE}"))).body(client::empty())?;
    let mut response = Client::new().open(request).await?;
    // The head and a first chunk are here; the rest is read after another request has completed
    // with a body of the same size.
    let first = within("the first chunk", response.frame()).await?;
    first.context("no body")??;
    let other =
        Request::post(host.url("/count")).body(client::streamed(pattern::chunks(LARGE), None))?;
    let answer = Client::new().send(other).await?;
    ensure!(answer.text() == format!("{LARGE}\n"));
    host.stayed_small()
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_come_back_with_the_body() -> Result<()> {
    let host = Streaming::start().await?;
    for client in [Client::new(), Client::http2()] {
        let answer = client.send(with_trailers(&host)?).await?;
        ensure!(answer.text() == "body");
        ensure!(
            answer.trailers.get("x-checksum") == Some(&HeaderValue::from_static("c0ffee")),
            "{:?}",
            answer.trailers
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_at_a_time_while_the_stream_goes_on() -> Result<()> {
    let host = Streaming::start().await?;
    // This stream ends after days: all that arrives has arrived before its end.
    let request = Request::get(host.url("/ticks?n=10000000&every=50")).body(client::empty())?;
    let mut response = Client::new().open(request).await?;
    ensure!(response.headers()["content-type"] == "text/event-stream");
    let mut text = String::new();
    while text.matches("\n\n").count() < 3 {
        let frame = within("an event", response.frame()).await?;
        let frame = frame.context("the stream has ended")??;
        let data = frame.into_data().ok().context("trailers")?;
        text.push_str(std::str::from_utf8(&data)?);
    }
    ensure!(
        text.starts_with("data: tick 0\n\ndata: tick 1\n\ndata: tick 2\n\n"),
        "{text:?}"
    );
    Ok(())
}

struct Streaming {
    host: Host,
    idle: u64,
}

impl Streaming {
    async fn start() -> Result<Self> {
        let host = Host::serve(guest("stream")?).start().await?;
        // Warm up: then an instance exists, and all code has run.
        let request =
            Request::post(format!("{}/echo", host.url())).body(client::full("warm-up"))?;
        let answer = Client::new().send(request).await?;
        ensure!(answer.text() == "warm-up", "{}", answer.text());
        host.process().reset_peak_rss()?;
        let idle = host.process().rss()?;
        Ok(Self { host, idle })
    }

    fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.host.url())
    }

    fn stayed_small(&self) -> Result<()> {
        let peak = self.host.process().peak_rss()?;
        ensure!(
            peak < self.idle + GROWTH,
            "the host grew from {} MiB to {} MiB",
            self.idle >> 20,
            peak >> 20
        );
        Ok(())
    }
}

fn with_trailers(host: &Streaming) -> Result<Request<client::Body>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("c0ffee"));
    let body = client::streamed(
        [bytes::Bytes::from_static(b"body")].into_iter(),
        Some(trailers),
    );
    Ok(Request::post(host.url("/echo"))
        .header("te", "trailers")
        .header("trailer", "x-checksum")
        .body(body)?)
}

async fn each_chunk(
    response: Response<Incoming>,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut body = response.into_body();
    while let Some(frame) = within("the next chunk", body.frame()).await? {
        if let Ok(data) = frame?.into_data() {
            take(&data)?;
        }
    }
    Ok(())
}
