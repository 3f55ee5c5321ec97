//! Promise: each limit of the front follows its setting, and a shorter timeout takes effect sooner
//! than the default. (Sizes and rates are in `curl.rs`, frames in `floods.rs`, handshakes in
//! `front_tls.rs`, connections in `hostile_clients.rs`.)

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use headwater_tests::client::{empty, full, streamed};
use headwater_tests::frames::{self, Frames};
use headwater_tests::guests::guest;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Admin, Client, Host, sooner, within};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Settings of streams at `/stream/` and a fixed answer at `/`, and more of `[server]` and the
/// streams' service.
fn site(server: &str, service: &str) -> Result<SettingsFile> {
    let text = format!(
        "[server]\n{server}\n\
         [[answer]]\nroute = \"/\"\nbody = \"fixed\"\n\
         [[service]]\nname = \"stream\"\ncomponent = {:?}\n\
         route = {{ path = \"/stream/...\", strip_prefix = true }}\n{service}\n",
        guest("stream")?
    );
    Settings::default().text(&text).write()
}

async fn status(host: &Host, path: &str) -> Result<StatusCode> {
    let answer = Client::new().get(&format!("{}{path}", host.url())).await?;
    let overloaded = answer.status == StatusCode::SERVICE_UNAVAILABLE;
    ensure!(overloaded == answer.is_refusal(), "{answer:?}");
    Ok(answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_those_in_flight_are_refused_until_the_last_byte_of_one() -> Result<()> {
    let of_all = site("max_in_flight = 1", "")?;
    let of_one = site("", "max_in_flight = 1")?;
    for (site, others) in [(of_all, 503), (of_one, 200)] {
        let host = Host::serve(site.path()).start().await?;
        let endless = format!("{}/stream/ticks?n=1000000&every=50", host.url());
        let client = Client::new();
        let answer = client.open(Request::get(endless).body(empty())?).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        // Its head was sent, and its body goes on.
        ensure!(status(&host, "/stream/count").await? == 503);
        ensure!(status(&host, "/").await? == others);
        drop((answer, client));
        within("a free place", async {
            while status(&host, "/stream/count").await? != 200 {}
            anyhow::Ok(())
        })
        .await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_a_connection_without_requests_ends_sooner_if_it_is_set() -> Result<()> {
    let times = "keep_alive_timeout = \"300ms\"\nsend_timeout = \"300ms\"";
    let site = site(times, "")?;
    let host = Host::serve(site.path()).start().await?;
    let default = Duration::from_secs(60);
    let mut stream = TcpStream::connect(host.address()).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await?;
    let mut answer = String::new();
    sooner(default, "the end", stream.read_to_string(&mut answer)).await??;
    ensure!(answer.ends_with("fixed"), "{answer}");

    let mut frames = Frames::connect(host.address()).await?;
    let get = frames::frame(frames::HEADERS, 5, 1, &frames::head(frames::GET));
    frames.send(&get).await?;
    let goaway = sooner(default, "GOAWAY", frames.next_of(frames::GOAWAY)).await??;
    ensure!(goaway.code() == Some(frames::NO_ERROR), "{goaway:?}");
    // Even for a client that does not react to it.
    sooner(Duration::from_secs(30), "the end", async {
        while frames.next().await?.is_some() {}
        anyhow::Ok(())
    })
    .await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_a_head_that_does_not_come_ends_sooner_if_it_is_set() -> Result<()> {
    let site = site("header_read_timeout = \"300ms\"", "")?;
    let host = Host::serve(site.path()).start().await?;
    // A connection within the preface of HTTP/2 is closed silently, or as a bad request.
    for (begun, closed) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ", false),
        ("PRI * HT", true),
        ("PRI * HTTP/2.0\r\n\r\nS", true),
    ] {
        let mut stream = TcpStream::connect(host.address()).await?;
        stream.write_all(begun.as_bytes()).await?;
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        sooner(Duration::from_secs(10), "the end", ended).await??;
        let answer = String::from_utf8_lossy(&answer);
        let expected = match closed {
            true => answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            false => answer.starts_with("HTTP/1.1 408 "),
        };
        ensure!(expected, "{begun:?}: {answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_an_answer_that_nobody_reads_ends_and_other_streams_go_on() -> Result<()> {
    let site = site("send_timeout = \"300ms\"", "")?;
    let (host, admin) = Admin::start(Host::serve(site.path())).await?;
    let default = Duration::from_secs(30);
    let large = "/stream/bytes?n=1000000000";

    let mut stream = TcpStream::connect(host.address()).await?;
    let get = format!("GET {large} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(get.as_bytes()).await?;
    admin
        .until("/requests", |told| told.contains("bytes"))
        .await?;
    sooner(default, "the end of the request", admin.calm()).await??;
    let mut received = Vec::new();
    // Cut off, with or without a reset.
    let _ = within("the end", stream.read_to_end(&mut received)).await?;
    ensure!(received.len() < 1_000_000_000);

    let client = Client::http2();
    let get = Request::get(format!("{}{large}", host.url())).body(empty())?;
    let unread = client.open(get).await?;
    sooner(default, "the end of the stream", admin.calm()).await??;
    // The same connection still works.
    ensure!(client.get(host.url()).await?.text() == "fixed");
    ensure!(
        within("a reset", unread.into_body().collect())
            .await?
            .is_err()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_waited_for_as_long_as_is_set() -> Result<()> {
    let site = site("linger = \"300ms\"", "")?;
    let host = Host::serve(site.path()).start().await?;
    let mut stream = TcpStream::connect(host.address()).await?;
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nno more";
    stream.write_all(post).await?;
    let mut answer = String::new();
    let ended = stream.read_to_string(&mut answer);
    sooner(Duration::from_secs(10), "the end", ended).await??;
    ensure!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fixed"),
        "{answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_may_be_as_many_fields_as_is_set() -> Result<()> {
    for (limit, fields, expected) in [(200, 190, 200), (200, 210, 431), (5, 3, 200), (5, 6, 431)] {
        let site = site(&format!("max_headers = {limit}"), "")?;
        let host = Host::serve(site.path()).start().await?;
        let mut request = Request::get(format!("{}/", host.url()));
        for number in 0..fields {
            request = request.header(format!("x-{number}"), "y");
        }
        let answer = Client::new().send(request.body(empty())?).await?;
        ensure!(
            answer.status == expected,
            "{limit}, {fields}: {}",
            answer.status
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_for_the_delay_of_a_drain_who_comes_is_served_and_balancers_are_told() -> Result<()> {
    let site = site("drain_delay = \"2s\"", "")?;
    let (mut host, admin) = Admin::start(Host::serve(site.path())).await?;
    admin.text("/readyz").await?;
    host.process().terminate()?;
    let not_ready = format!("{}/readyz", admin.url());
    within("the end of being ready", async {
        while Client::new().get(&not_ready).await?.status == 200 {}
        anyhow::Ok(())
    })
    .await??;
    // A new connection is still accepted.
    ensure!(status(&host, "/").await? == 200);
    ensure!(host.exit().await?.code() == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_body_that_is_too_large_or_does_not_come_has_its_answer_over_http_2() -> Result<()> {
    let site = site("max_body = \"1KiB\"\nbody_idle_timeout = \"300ms\"", "")?;
    let host = Host::serve(site.path()).start().await?;
    let client = Client::http2();
    let half = Bytes::from_static(&[b'x'; 513]);
    for (body, status) in [
        (full(vec![b'x'; 1_024]), 200),
        (full(vec![b'x'; 1_025]), 413),
        // The length is known only at the end.
        (streamed(vec![half; 2].into_iter(), None), 413),
    ] {
        let post = Request::post(format!("{}/stream/count", host.url())).body(body)?;
        let answer = client.send(post).await?;
        ensure!(answer.status == status, "{answer:?}");
    }

    let mut frames = Frames::connect(host.address()).await?;
    let head = frames::head_of(frames::POST, "/stream/count");
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &head);
    frames.send(&head).await?;
    let answered = frames.next_of(frames::HEADERS);
    let answer = sooner(Duration::from_secs(30), "an answer", answered).await??;
    // `:status: 408`, with the number in Huffman code (RFC 7541 B).
    ensure!(
        answer.payload.starts_with(b"\x48\x83\x68\x0f\x7f"),
        "{answer:?}"
    );
    Ok(())
}
