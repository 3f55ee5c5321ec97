//! Bodies that a service sends back as it got them.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;

use crate::client::{Client, streamed};
use crate::patience::within;
use crate::pattern::{self, Checker};

/// Asserts that a short body comes back from this URL, with its trailers.
///
/// # Errors
///
/// Returns an error if it does not.
pub async fn with_trailers(url: &str) -> Result<()> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("c0ffee"));
    let body = streamed([Bytes::from_static(b"body")].into_iter(), Some(trailers));
    let request = Request::post(url)
        .header("trailer", "x-checksum")
        .body(body)?;
    let answer = Client::http2().send(request).await?;
    ensure!(answer.text() == "body", "{answer:?}");
    let checksum = answer.trailers.get("x-checksum");
    ensure!(checksum.is_some_and(|sum| sum == "c0ffee"), "{answer:?}");
    Ok(())
}

/// Asserts that a body of this length comes back unchanged from this URL.
///
/// # Errors
///
/// Returns an error if it does not.
pub async fn unchanged(url: &str, length: usize) -> Result<()> {
    let request = Request::post(url).body(streamed(pattern::chunks(length), None))?;
    let mut response = Client::new().open(request).await?;
    let mut checker = Checker::default();
    while let Some(frame) = within("a chunk", response.frame()).await? {
        if let Ok(data) = frame?.into_data() {
            checker.check(&data)?;
        }
    }
    ensure!(checker.length() == length, "{} came back", checker.length());
    Ok(())
}
