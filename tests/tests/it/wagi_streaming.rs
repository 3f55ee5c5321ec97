//! Promise: a WAGI module's output is sent as it is printed, in bounded memory, and a module that
//! fails midway never looks complete; its outgoing requests are like those of a component.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Client, Host, Upstream, client, within};
use http::Request;
use http_body_util::BodyExt;
use tempfile::TempDir;

/// The maximum growth of the host.
const GROWTH: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_mebibytes_of_stdout_pass_in_bounded_memory() -> Result<()> {
    const SIZE: usize = 200 << 20;
    let host = Host::serve(guest("wagi-rust")?).start().await?;
    let url = |bytes: usize| format!("{}/?bytes={bytes}", host.url());
    // Memory that the first requests take is kept for later ones.
    for _ in 0..3 {
        ensure!(length(&url(4 << 20)).await? == 4 << 20);
    }
    let before = host.process().rss()?;
    host.process().reset_peak_rss()?;
    let received = length(&url(SIZE)).await?;
    ensure!(received == SIZE, "{received}");
    let grown = host.process().peak_rss()?.saturating_sub(before);
    ensure!(grown < GROWTH, "the host grew by {grown} bytes");
    Ok(())
}

/// Reads and discards a body, and returns its length.
async fn length(url: &str) -> Result<usize> {
    let request = Request::get(url).body(client::empty())?;
    let mut body = Client::new().open(request).await?.into_body();
    let mut length = 0;
    while let Some(frame) = within("the next piece", body.frame()).await? {
        length += frame?.into_data().map_or(0, |data| data.len());
    }
    Ok(length)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_midst_of_a_response_is_seen_by_the_client() -> Result<()> {
    let folder = TempDir::new()?;
    let module = folder.path().join("late.wat");
    fs::write(&module, LATE_TRAP)?;
    let host = Host::serve(&module).start().await?;
    for client in [Client::new(), Client::http2()] {
        let request = Request::get(host.url()).body(client::empty())?;
        let response = client.open(request).await?;
        ensure!(response.status() == 200, "{}", response.status());
        let id = response.headers()["x-request-id"].to_str()?.to_owned();
        let end = within("the end of the body", response.into_body().collect()).await?;
        ensure!(end.is_err(), "the body ended as if it were whole");
        let log = host.stderr();
        log.wait_for("the cause, with the request's id", |line| {
            line.contains(&id) && line.contains("unreachable")
        })
        .await?;
    }
    Ok(())
}

/// Prints a head and a megabyte, then traps.
const LATE_TRAP: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 17)
    (data (i32.const 64) "content-type: t\0a\0a")
    (func $print (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (call $print (i32.const 64) (i32.const 17))
        (call $print (i32.const 1024) (i32.const 1048576))
        unreachable))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_calls_whom_it_may_and_nobody_else() -> Result<()> {
    let (allowed, other) = (Upstream::start().await?, Upstream::start().await?);
    let host = Host::serve(guest("wagi-outgoing")?)
        .args(["--allow-outgoing", &allowed.url()])
        .start()
        .await?;
    let get = |query: String| {
        let url = format!("{}/?{query}", host.url());
        async move { Client::new().get(&url).await }
    };
    let answer = get(format!("to={}&k=3", allowed.url())).await?;
    ensure!(answer.text() == ": 3 of 3 answered\n", "{}", answer.text());
    ensure!(allowed.calls().len() == 3);

    let answer = get(format!("to={}&all", allowed.url())).await?;
    ensure!(
        answer.text().starts_with("status 200\n"),
        "{}",
        answer.text()
    );

    // DestinationNotAllowed.
    let answer = get(format!("to={}", other.url())).await?;
    ensure!((answer.status.as_u16(), &*answer.text()) == (502, "error 7\n"));
    ensure!(other.calls().is_empty());
    // InvalidUrl.
    let answer = get("to=nowhere".to_owned()).await?;
    ensure!(answer.text() == "error 10\n", "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_in_c_calls_as_one_in_rust_does() -> Result<()> {
    let upstream = Upstream::start().await?;
    let host = Host::serve(guest("wagi-outgoing-c")?)
        .args(["--allow-outgoing", &upstream.url()])
        .start()
        .await?;
    let url = format!("{}/?{}/call/7", host.url(), upstream.url());
    let answer = Client::new().get(&url).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let calls = upstream.calls();
    let call = calls.first().context("nobody called")?;
    ensure!(calls.len() == 1 && call.path == "/call/7", "{calls:?}");

    let url = format!("{}/?http://other.example/", host.url());
    let answer = Client::new().get(&url).await?;
    ensure!((answer.status.as_u16(), &*answer.text()) == (502, "error 7\n"));
    Ok(())
}
