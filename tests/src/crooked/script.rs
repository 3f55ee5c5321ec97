//! The acts for each path.

use std::time::Duration;

use bytes::Bytes;

/// One act of the upstream.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reads the request's body.
    Body,
    /// Sends these bytes.
    Send(Bytes),
    /// Sends these bytes one by one.
    Drip(Bytes),
    /// Sends these bytes again and again, slowly.
    DripForever(Bytes),
    /// Sends these bytes again and again, as fast as they are read.
    SendForever(Bytes),
    /// Waits for this time.
    Pause(Duration),
    /// Does nothing until the client closes the connection.
    Hold,
    /// Closes the connection, cleanly.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

/// The size of a chunk, as sent, in bytes: 1 KiB.
pub const CHUNK: usize = 1024;

/// Returns the acts for a request with this path. The connection takes the next request afterwards.
///
/// # Panics
///
/// Panics for a path without a script, which is a mistake in the test.
#[must_use]
pub fn script(path: &str) -> Vec<Act> {
    match path {
        // Correct responses.
        "/ok" | "/" => answer("", "fine\n"),
        "/trailers" => chunked("5\r\nhello\r\n0\r\nx-end: reached\r\nx-end: twice\r\n\r\n"),
        "/hints" => raw(&("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(3) + FINE)),
        "/drip" => vec![Act::Body, drip(FINE)],
        "/same-lengths" => answer("content-length: 5\r\n", "fine\n"),
        "/head" => raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        "/204" => raw("HTTP/1.1 204 No Content\r\n\r\n"),
        // Answers before it has read the request's body.
        "/early" => vec![send(FINE), Act::Body],
        "/early-hold" => vec![send(FINE), Act::Hold],
        "/early-close" => vec![send(FINE), Act::Close],

        // Sends nothing, or too little.
        "/tarpit" => vec![Act::Body, Act::Hold],
        "/never-read" => vec![Act::Hold],
        "/drip-head" => vec![
            Act::Body,
            send("HTTP/1.1 200 OK\r\n"),
            Act::DripForever(Bytes::from_static(b"x")),
        ],
        "/hold-in-body" => vec![
            Act::Body,
            send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"),
            Act::Hold,
        ],
        "/drip-body" => vec![
            Act::Body,
            send(CHUNKED),
            Act::DripForever(Bytes::from_static(b"1\r\nd\r\n")),
        ],
        "/hints-forever" => vec![
            Act::Body,
            Act::SendForever(Bytes::from_static(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
        ],

        // Ends the connection.
        "/close" => vec![Act::Body, Act::Close],
        "/reset" => vec![Act::Body, Act::Reset],
        "/close-in-head" => cut("HTTP/1.1 200 OK\r\ncontent-", Act::Close),
        "/reset-in-head" => cut("HTTP/1.1 200 OK\r\ncontent-", Act::Reset),
        "/short-body" => cut(SHORT, Act::Close),
        "/reset-in-body" => cut(SHORT, Act::Reset),
        "/short-chunked" => cut(&format!("{CHUNKED}4\r\npart\r\n"), Act::Close),
        "/cut-chunk" => cut(&format!("{CHUNKED}64\r\npart"), Act::Close),
        "/no-length" => cut("HTTP/1.1 200 OK\r\n\r\nuntil the end", Act::Close),

        // Sends invalid responses.
        "/garbage" => cut("SSH-2.0-OpenSSH_9.2\r\n\r\n", Act::Close),
        "/bad-status" => raw("HTTP/1.1 99999 Much\r\n\r\n"),
        "/bad-header" => raw("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
        "/bad-version" => raw("HTTP/3.7 200 OK\r\n\r\n"),
        "/nul-header" => raw("HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
        "/two-lengths" => answer("content-length: 6\r\n", "fine\n"),
        "/signed-length" => raw("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nfine\n"),
        "/listed-length" => raw("HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nfine\n"),
        "/negative-length" => raw("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nfine\n"),
        "/huge-length" => {
            raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nfine\n")
        }
        "/length-and-chunks" => raw(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nfine\n\r\n0\r\n\r\n{POISON}"
        )),
        "/chunk-garbage" => chunked("zz\r\n"),
        "/chunk-huge" => chunked("fffffffffffffffff\r\n"),
        "/chunk-overrun" => chunked("2\r\nabcd\r\n0\r\n\r\n"),
        "/chunk-extensions" => vec![
            Act::Body,
            send(&format!("{CHUNKED}1;")),
            Act::SendForever(Bytes::from_static(&[b'x'; CHUNK])),
        ],
        "/switch" => {
            raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        }

        // Sends more than it announces, which could be mistaken for the answer to the next request.
        "/long-body" => raw(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine\n{POISON}"
        )),
        "/204-body" => raw(&format!(
            "HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\n{POISON}"
        )),
        "/304-body" => raw(&format!(
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\n{POISON}"
        )),
        "/head-body" => raw(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{POISON}"
        )),
        "/twice" => raw(&format!("{FINE}{POISON}")),
        "/late" => vec![
            Act::Body,
            send(FINE),
            Act::Pause(Duration::from_millis(50)),
            send(POISON),
        ],

        // Sends too much.
        "/many-headers" => raw(&format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n",
            "x-many: of them\r\n".repeat(5_000)
        )),
        "/large-header" => raw(&format!(
            "HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 0\r\n\r\n",
            "v".repeat(2 << 20)
        )),
        "/headers-forever" => vec![
            Act::Body,
            send("HTTP/1.1 200 OK\r\n"),
            Act::SendForever(Bytes::from_static(b"x-many: of them\r\n")),
        ],
        "/many-trailers" => chunked(&format!(
            "5\r\nhello\r\n0\r\n{}\r\n",
            "x-many: of them\r\n".repeat(5_000)
        )),
        "/large-trailer" => chunked(&format!(
            "5\r\nhello\r\n0\r\nx-large: {}\r\n\r\n",
            "v".repeat(2 << 20)
        )),
        "/body-forever" => vec![
            Act::Body,
            send(CHUNKED),
            Act::SendForever(format!("400\r\n{}\r\n", "b".repeat(CHUNK)).into()),
        ],
        other => panic!("there is no script for {other}"),
    }
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine\n";
const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-poison: yes\r\n\r\npoison";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";

fn send(text: &str) -> Act {
    Act::Send(Bytes::copy_from_slice(text.as_bytes()))
}

fn drip(text: &str) -> Act {
    Act::Drip(Bytes::copy_from_slice(text.as_bytes()))
}

/// Returns a complete answer with these additional lines in its head.
fn answer(more: &str, body: &str) -> Vec<Act> {
    raw(&format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    ))
}

/// Returns a head that announces chunks, followed by `rest`.
fn chunked(rest: &str) -> Vec<Act> {
    raw(&format!("{CHUNKED}{rest}"))
}

/// Returns exactly this text.
fn raw(text: &str) -> Vec<Act> {
    vec![Act::Body, send(text)]
}

/// Returns this text, followed by the end of the connection.
fn cut(text: &str, end: Act) -> Vec<Act> {
    vec![Act::Body, send(text), end]
}
