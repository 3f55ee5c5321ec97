//! Measures a long body on one connection.

use std::time::Instant;

use anyhow::{Result, ensure};
use headwater_tests::{Client, Host, client};
use http::Request;
use http_body_util::BodyExt;

use crate::goal::{median, mib};

/// The rate of a long body, and the host's memory for it.
pub(crate) struct Long {
    /// In MB per second.
    pub(crate) rate: f64,
    /// The additional memory, in MiB.
    pub(crate) growth: f64,
}

/// Reads the body at this URL `rounds` times, at least three. It must have `length` bytes.
pub(crate) async fn measure(host: &Host, url: &str, length: usize, rounds: usize) -> Result<Long> {
    let client = Client::new();
    // The memory of the first request is kept for the next one.
    drain(&client, url).await?;
    let before = host.process().rss()?;
    host.process().reset_peak_rss()?;
    let mut rates = Vec::new();
    for _ in 0..rounds.max(3) {
        let started = Instant::now();
        let came = drain(&client, url).await?;
        ensure!(came == length, "{came} bytes came");
        rates.push(length as f64 / 1e6 / started.elapsed().as_secs_f64());
    }
    Ok(Long {
        rate: median(rates),
        growth: mib(host.process().peak_rss()?.saturating_sub(before)),
    })
}

/// Reads a whole response, and returns the length of its body.
async fn drain(client: &Client, url: &str) -> Result<usize> {
    let request = Request::get(url).body(client::empty())?;
    let mut body = client.open(request).await?.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.into_data().map_or(0, |data| data.len());
    }
    Ok(length)
}
