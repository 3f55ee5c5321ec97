//! Promise: curl is answered as the standards say, on every kind of listener.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::curl::Curled;
use headwater_tests::guests::guest;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Curl, Host, sooner};
use tempfile::NamedTempFile;

/// The two versions, as curl's option and in its output.
const VERSIONS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")];

/// Settings of an echo at `/stream/echo`, `hello` with small limits at `/tight` and once an hour at `/rare`,
/// a fixed answer at `/`, and more.
fn site(more: &str) -> Result<SettingsFile> {
    let stream = format!(
        "[[service]]\nname = \"stream\"\ncomponent = {:?}\n\
         route = {{ path = \"/stream/...\", strip_prefix = true }}\n",
        guest("stream")?
    );
    let hello = guest("hello")?;
    let tight = format!(
        "[[service]]\nname = \"tight\"\nroute = \"/tight\"\nmax_body = \"10B\"\ncomponent = {hello:?}\n\
         [[service]]\nname = \"rare\"\nroute = \"/rare\"\nrate = \"1/h\"\ncomponent = {hello:?}\n",
    );
    let answer = "[[answer]]\nroute = \"/\"\nbody = \"fixed\"\n";
    let texts = [&*stream, &*tight, answer, more];
    let settings = Settings::default();
    texts
        .iter()
        .fold(settings, |all, text| all.text(text))
        .write()
}

fn is(answer: &Curled, status: u64, version: &str) -> Result<()> {
    ensure!(
        (answer.code, answer.status, &*answer.version) == (0, status, version),
        "{answer:?}"
    );
    ensure!(answer.field("x-request-id").len() == 36, "{answer:?}");
    Ok(())
}

fn file_of(bytes: usize) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(&vec![b'x'; bytes])?;
    Ok(file)
}

fn sending(file: &Path) -> Result<String> {
    Ok(format!(
        "@{}",
        file.to_str().context("the path is no UTF-8")?
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn get_head_and_uploads_are_answered_by_either_version() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let site = site("")?;
    let host = Host::serve(site.path()).start().await?;
    let root = format!("{}/", host.url());
    let upload = file_of(2 << 20)?;
    let upload = sending(upload.path())?;
    for (option, version) in VERSIONS {
        let get = curl.ask(&[option, &root]).await?;
        is(&get, 200, version)?;
        ensure!(get.body == "fixed", "{get:?}");

        let head = curl.ask(&[option, "--head", &root]).await?;
        is(&head, 200, version)?;
        ensure!(
            head.body.is_empty() && head.field("content-length") == "5",
            "{head:?}"
        );

        let count = format!("{}/stream/count", host.url());
        let expect = [
            "--header",
            "expect: 100-continue",
            "--data-binary",
            &upload,
            &count,
        ];
        let counted = curl.ask(&[&[option][..], &expect].concat()).await?;
        is(&counted, 200, version)?;
        ensure!(counted.body == "2097152\n", "{counted:?}");
        // In HTTP/2 curl does not wait, and gets no 100.
        let leave = counted.heads.contains("http/1.1 100 continue");
        ensure!(leave == (version == "1.1"), "{counted:?}");

        // Of unknown length, and echoed as it arrives.
        let echo = format!("{}/stream/echo", host.url());
        let chunked = [
            "--header",
            "transfer-encoding: chunked",
            "--data",
            "abc",
            &echo,
        ];
        let echoed = curl.ask(&[&[option][..], &chunked].concat()).await?;
        is(&echoed, 200, version)?;
        ensure!(echoed.body == "abc", "{echoed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_has_its_status_in_either_version() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let site = site(
        "[server]\nmax_uri = \"100B\"\nmax_body = \"1KiB\"\nmax_header_bytes = \"8KiB\"\nmax_headers = 20\n",
    )?;
    let host = Host::serve(site.path()).start().await?;
    let root = format!("{}/", host.url());
    let echo = format!("{}/stream/echo", host.url());
    let tight = format!("{}/tight", host.url());
    let rare = format!("{}/rare", host.url());
    let long = format!("{root}{}", "x".repeat(100));
    let field = format!("x: {}", "x".repeat(9 << 10));
    let (fits, large) = (file_of(1 << 10)?, file_of((1 << 10) + 1)?);
    let (fits, large) = (sending(fits.path())?, sending(large.path())?);
    let count = format!("{}/stream/count", host.url());
    let once = curl.ask(&[&rare]).await?;
    ensure!(once.status == 200, "{once:?}");
    let chunked = "transfer-encoding: chunked";
    let cases: [(&[&str], u64); 5] = [
        (&[&root], 200),
        (&[&long], 414),
        (&["--header", &field, &root], 431),
        (&["--data-binary", &fits, &echo], 200),
        (&[&rare], 429),
    ];
    for (option, version) in VERSIONS {
        for (arguments, status) in cases {
            let answer = curl.ask(&[&[option], arguments].concat()).await?;
            ensure!(
                (answer.status, &*answer.version) == (status, version),
                "{arguments:?}: {answer:?}"
            );
            if status == 429 {
                let wait: u32 = answer.field("retry-after").parse()?;
                ensure!((1..=3600).contains(&wait), "{answer:?}");
            }
        }
    }
    // In HTTP/2 curl 7.88 takes the answer to an unread body for an error, because the stream is
    // reset after it (as RFC 9113 8.1 has it): `front_limits.rs` tests this with another client.
    let expects = "expect: 100-continue";
    let cases: [&[&str]; 4] = [
        &["--data-binary", &large, &echo],
        &["--header", expects, "--data-binary", &large, &echo],
        // The length is known only at the end.
        &["--header", chunked, "--data-binary", &large, &count],
        // The service's own limit.
        &["--data", "0123456789a", &tight],
    ];
    for arguments in cases {
        let answer = curl.ask(arguments).await?;
        ensure!(answer.status == 413, "{arguments:?}: {answer:?}");
        // A client that waits for 100 gets the answer instead.
        ensure!(
            !arguments.contains(&expects) || !answer.heads.contains(" 100 "),
            "{answer:?}"
        );
    }
    // The number of fields is limited in HTTP/1.
    let fields = ["--header", "x: 1"].repeat(20);
    let many = curl.ask(&[&fields[..], &[&root]].concat()).await?;
    ensure!(many.status == 431, "{many:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stands_still_is_answered_408() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let site = site("[server]\nbody_idle_timeout = \"300ms\"\n")?;
    let host = Host::serve(site.path()).start().await?;
    let count = format!("{}/stream/count", host.url());
    let upload = [
        "--http1.1",
        "--upload-file",
        ".",
        "--request",
        "POST",
        &count,
    ];
    let mut command = curl.command(&upload);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    // Open for as long as curl runs, but sends nothing.
    let stdin = child.stdin.take();
    let ended = child.wait_with_output();
    let output = sooner(Duration::from_secs(30), "an answer", ended).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains(" 408 "), "{text}");
    drop(stdin);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_and_a_proxy_are_listened_to() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    // The path is relative to the file.
    let unix = "[[listener]]\nlisten = \"unix:it.sock\"\n";
    let tcp = "[[listener]]\nlisten = \"127.0.0.1:0\"\n";
    let site = site(&format!("{tcp}{unix}"))?;
    let socket = site.path().with_file_name("it.sock");
    let socket = socket.to_str().context("the path is no UTF-8")?;
    let serve = Host::headwater().arg("serve").arg(site.path());
    let host = serve.start().await?;
    for (option, version) in VERSIONS {
        let answer = curl
            .ask(&[option, "--unix-socket", socket, "http://x.example/"])
            .await?;
        is(&answer, 200, version)?;
    }
    let root = format!("{}/", host.url());
    let proxied = curl.ask(&["--haproxy-protocol", &root]).await?;
    // If the answer comes too soon, curl 7.88 reports that it is not connected.
    ensure!(proxied.status == 400 || proxied.code == 55, "{proxied:?}");

    let host = Host::serve(site.path())
        .args(["--proxy-protocol", "required"])
        .start()
        .await?;
    let root = format!("{}/", host.url());
    let silent = curl.ask(&[&root]).await?;
    ensure!(silent.status == 0 && silent.code != 0, "{silent:?}");
    let proxied = curl.ask(&["--haproxy-protocol", &root]).await?;
    is(&proxied, 200, "1.1")
}
