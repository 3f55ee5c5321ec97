//! Prints in all the ways that a guest can: whole lines and pieces of lines with waits in between,
//! by the standard library and by the streams of 0.3, too much, bytes that are not text, and after
//! its answer.
//!
//! Each line begins with the request's `x-tag`, so that readers of the log can tell whose line it
//! is.

mod out;

use guest::{ErrorCode, Query, Request, Response, tag, text, wait};
use out::Way;

struct Chatty;

impl wasip3::exports::http::handler::Guest for Chatty {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let tag = String::from_utf8_lossy(&tag(&request)).into_owned();
        let delay = query.number("wait", 5);
        let Some(way) = Way::of(query.get("via").unwrap_or("stderr")) else {
            return Ok(text(400, "via=stderr, stdout or stream\n"));
        };
        match query.path.as_str() {
            "/pieces" => pieces(way, &tag, query.number("n", 5), delay).await,
            "/lines" => lines(way, &tag, query.number("n", 5), delay).await,
            "/after" => {
                let tag = tag.clone();
                wasip3::spawn_local(async move {
                    wait(delay).await;
                    pieces(way, &tag, 3, delay).await;
                });
            }
            "/open-end" => way.open().write(format!("{tag} and no end").into()).await,
            "/flood" => flood(way, &tag, query.number("n", 10_000)).await,
            "/endless" => endless(way, &tag, query.number("n", 1 << 20)).await,
            "/binary" => {
                let mut line =
                    format!("{tag} \x1b[2J\x1b]0;title\x07 \0 \u{202e}\u{9b}").into_bytes();
                line.extend(b"\xff\xfe\r\n");
                way.open().write(line).await;
            }
            "/forge" => forge(way, &tag, query.get("id").unwrap_or_default()).await,
            "/shared" => out::share(format!("{tag} shares\n").into()).await,
            "/trap" => {
                way.open()
                    .write(format!("{tag} has last words").into())
                    .await;
                // A panic would print, too.
                core::arch::wasm32::unreachable();
            }
            _ => {}
        }
        Ok(text(200, format!("{tag}: printed\n")))
    }
}

wasip3::http::service::export!(Chatty);

/// Prints one line, `TAG 0 1 2 … end`, with a write for each word and waits in between.
async fn pieces(way: Way, tag: &str, n: u64, delay: u64) {
    let mut out = way.open();
    out.write(tag.into()).await;
    for i in 0..n {
        wait(delay).await;
        out.write(format!(" {i}").into()).await;
    }
    out.write(b" end\n".into()).await;
}

/// Prints whole lines `TAG line I of N`, with waits in between.
async fn lines(way: Way, tag: &str, n: u64, delay: u64) {
    let mut out = way.open();
    for i in 0..n {
        out.write(format!("{tag} line {i} of {n}\n").into()).await;
        wait(delay).await;
    }
}

/// Prints this many lines as fast as possible: `TAG flood I`.
async fn flood(way: Way, tag: &str, n: u64) {
    let mut out = way.open();
    for i in 0..n {
        out.write(format!("{tag} flood {i}\n").into()).await;
    }
}

/// Prints `n` bytes without a line feed.
async fn endless(way: Way, tag: &str, n: u64) {
    let mut out = way.open();
    out.write(format!("{tag} ").into()).await;
    let piece = vec![b'x'; 4096];
    for _ in 0..n / 4096 {
        out.write(piece.clone()).await;
    }
}

/// Prints lines that look like records of the request `id`.
async fn forge(way: Way, tag: &str, id: &str) {
    let mut out = way.open();
    for line in [
        format!("{tag} forged request_id={id} headwater.attribution=\"exact\"\n"),
        format!(
            "{tag} forged\",\"request_id\":\"{id}\"}}}}\n{{\"target\":\"headwater::guest\",\"fields\":\
             {{\"message\":\"{tag} forged\",\"request_id\":\"{id}\"}}}}\n"
        ),
        format!("{tag} forged\r2026-01-01T00:00:00.000000Z  INFO {id} chatty/0 stderr | hello\n"),
    ] {
        out.write(line.into()).await;
    }
}
