//! Promise: the programs that embed the host compile, and do what they say.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Client, within};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// An example that runs.
struct Example {
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    // Ends it when it is dropped.
    _child: Child,
}

/// Starts an example of the host's crate with a guest, and waits until it listens.
async fn start(example: &str, guest_name: &str) -> Result<Example> {
    let host = std::env::var_os("HEADWATER_BIN").context("HEADWATER_BIN is not set")?;
    let folder = PathBuf::from(host).with_file_name("examples");
    let mut child = Command::new(folder.join(example))
        .arg(guest(guest_name)?)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {example}: `cargo test` builds it"))?;
    let stdout = child.stdout.take().context("its output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = within("an example that listens", lines.next_line()).await??;
    let line = line.with_context(|| format!("{example} said nothing"))?;
    let url = line
        .strip_prefix("Listening on ")
        .with_context(|| line.clone())?;
    Ok(Example {
        url: url.to_owned(),
        lines,
        _child: child,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_serves_a_component_and_a_module() -> Result<()> {
    for (name, expected) in [("hello", "Hello from Headwater!"), ("wagi-wat", "")] {
        let example = start("embed", name).await?;
        let answer = Client::new().get(&example.url).await?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
        ensure!(answer.text().contains(expected), "{name}: {answer:?}");
        ensure!(
            answer.headers.contains_key("x-request-id"),
            "{name}: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_behind_axum_what_axum_does_not() -> Result<()> {
    let example = start("behind_axum", "hello").await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", example.url)).await;
    ensure!(get("/axum").await?.text() == "Hello from axum!\n");
    let answer = get("/any").await?;
    ensure!(answer.text() == "Hello from Headwater!\n", "{answer:?}");
    ensure!(answer.headers.contains_key("x-request-id"), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_offers_an_interface_of_its_own_and_knows_who_calls_it() -> Result<()> {
    let mut example = start("own_capability", "configured").await?;
    for expected in ["100\n", "101\n"] {
        let answer = Client::new()
            .get(&format!("{}/visits", example.url))
            .await?;
        // Begun at 200; two calls of the host make a visit.
        ensure!(
            answer.text() == expected || answer.status == 500,
            "{answer:?}"
        );
        let id = answer.headers["x-request-id"].to_str()?;
        for _ in 0..2 {
            let line = within("a call of the guest", example.lines.next_line()).await??;
            let line = line.context("a line")?;
            ensure!(
                line == format!("asked for visits by Some(\"{id}\")"),
                "{line}"
            );
        }
    }
    // Of two requests at once, each has made its own two calls.
    let url = format!("{}/visits", example.url);
    let get = async || Client::new().get(&url).await;
    let (one, other) = tokio::join!(get(), get());
    let mut lines = Vec::new();
    for _ in 0..4 {
        let line = within("a call of the guest", example.lines.next_line()).await??;
        lines.push(line.context("a line")?);
    }
    for answer in [one?, other?] {
        let id = answer.headers["x-request-id"].to_str()?.to_owned();
        let its = lines.iter().filter(|line| line.contains(&id)).count();
        ensure!(its == 2, "{id}: {lines:?}");
    }
    Ok(())
}
