//! A WAGI module in Rust: a CGI program on stdin and stdout, as a WASI preview1 command
//! (`wasm32-wasip1`). The first query parameter selects what it does:
//!
//! | query | answer |
//! | --- | --- |
//! | none, or any other | `text/plain`: a line with the method, all environment variables in order as `NAME=VALUE` lines, `argv: [...]`, `body: N bytes` |
//! | `echo` | the request's body, with its `CONTENT_TYPE` |
//! | `bytes=N` | N bytes `x` |
//! | `status=418` | `Status: 418 I'm a teapot`; with any other number, that number |
//! | `location=/x` | `Location: /x`, and nothing else |
//! | `cookies` | two `Set-Cookie` headers |
//! | `exit=N` | a whole answer, then exit code N |
//! | `trap` | a panic (`deliberate panic` on stderr) before any output |
//! | `latetrap` | a whole answer, then a panic |
//! | `bad` | text without a header block |
//! | `stderr=TEXT` | TEXT and a newline on stderr, then `logged` |
//! | `spin` | loops forever, before any output |
//! | `files` | the names in `/`, one a line, or `no directory at /` |
//!
//! Values are used as they are in `QUERY_STRING`, without decoding.

use std::env;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::process::exit;

fn main() -> io::Result<()> {
    let query = variable("QUERY_STRING");
    let first = query.split('&').next().unwrap_or_default();
    let (action, value) = first.split_once('=').unwrap_or((first, ""));
    // Buffered completely, so that an answer is one write: `wagi-wat` is the guest that writes in
    // pieces.
    let mut out = io::BufWriter::new(io::stdout().lock());
    match action {
        "echo" => {
            write!(out, "Content-Type: {}\n\n", content_type())?;
            io::copy(&mut io::stdin().lock(), &mut out)?;
        }
        "bytes" => {
            write!(out, "Content-Type: application/octet-stream\n\n")?;
            let n = value.parse().unwrap_or_default();
            io::copy(&mut io::repeat(b'x').take(n), &mut out)?;
        }
        "status" => {
            let reason = if value == "418" { " I'm a teapot" } else { "" };
            write!(
                out,
                "Status: {value}{reason}\nContent-Type: text/plain\n\nstatus {value}\n"
            )?;
        }
        "location" => write!(out, "Location: {value}\n\n")?,
        "cookies" => write!(
            out,
            "Content-Type: text/plain\nSet-Cookie: a=1; Path=/\nSet-Cookie: b=2; Path=/\n\ncookies\n"
        )?,
        "exit" => {
            plain(&mut out, &format!("exit {value}\n"))?;
            out.flush()?;
            exit(value.parse().unwrap_or(1));
        }
        "trap" => panic!("deliberate panic"),
        "latetrap" => {
            plain(&mut out, "whole\n")?;
            out.flush()?;
            panic!("deliberate panic after the answer");
        }
        "bad" => writeln!(out, "This is no header block.")?,
        "stderr" => {
            eprintln!("{value}");
            plain(&mut out, "logged\n")?;
        }
        "spin" => loop {
            black_box(());
        },
        "files" => plain(&mut out, &files())?,
        _ => plain(&mut out, &everything()?)?,
    }
    out.flush()
}

/// Writes a `text/plain` answer.
fn plain(out: &mut impl Write, body: &str) -> io::Result<()> {
    write!(out, "Content-Type: text/plain\n\n{body}")
}

/// Returns everything that the module received.
fn everything() -> io::Result<String> {
    let mut variables: Vec<String> = env::vars_os()
        .map(|(name, value)| format!("{}={}\n", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    variables.sort();
    let arguments: Vec<_> = env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let body = io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    let method = variable("REQUEST_METHOD");
    Ok(format!(
        "{method}\n{}argv: {arguments:?}\nbody: {body} bytes\n",
        variables.concat()
    ))
}

/// Returns the sorted names in the root directory, which exists only if the host grants it.
fn files() -> String {
    let Ok(entries) = std::fs::read_dir("/") else {
        return "no directory at /\n".to_owned();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| format!("{}\n", e.file_name().to_string_lossy()))
        .collect();
    names.sort();
    names.concat()
}

/// Returns the request's content type. WAGI itself left `CONTENT_TYPE` empty and passed only the
/// header.
fn content_type() -> String {
    ["CONTENT_TYPE", "HTTP_CONTENT_TYPE"]
        .map(variable)
        .into_iter()
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| "application/octet-stream".to_owned())
}

/// Returns an environment variable, empty if unset.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
