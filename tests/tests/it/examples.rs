//! Promise: the programs that embed the host compile and work.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Client, Upstream, client, within};
use http::Request;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A program that serves with the library.
pub(crate) struct Example {
    pub(crate) url: String,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    // Killed on drop.
    pub(crate) child: Child,
}

impl Example {
    /// Starts a program, and waits until it listens.
    pub(crate) async fn of(mut program: Command) -> Result<Self> {
        let mut child = program
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program:?}: `cargo test` builds examples"))?;
        let stdout = child.stdout.take().context("its output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = within("an example that listens", lines.next_line()).await??;
        let line = line.context("an example that says nothing")?;
        let url = line
            .strip_prefix("Listening on ")
            .with_context(|| line.clone())?;
        Ok(Self {
            url: url.to_owned(),
            lines,
            child,
        })
    }
}

/// Starts an example of the `headwater` crate with a guest.
async fn start(example: &str, guest_name: &str) -> Result<Example> {
    start_with(example, guest_name, &[]).await
}

async fn start_with(example: &str, guest_name: &str, arguments: &[&str]) -> Result<Example> {
    let host = std::env::var_os("HEADWATER_BIN").context("HEADWATER_BIN is not set")?;
    let folder = PathBuf::from(host).with_file_name("examples");
    let mut program = Command::new(folder.join(example));
    program.arg(guest(guest_name)?).args(arguments);
    Example::of(program).await
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
async fn a_program_puts_layers_of_its_own_in_front_of_a_guest() -> Result<()> {
    for (name, expected) in [("hello", "Hello from Headwater!"), ("wagi-wat", "")] {
        let example = start("native_middleware", name).await?;
        for (token, status, said) in [
            ("", 401, "who are you?\n"),
            ("Bearer example", 200, expected),
        ] {
            let request = Request::get(&example.url).header("authorization", token);
            let answer = Client::new().send(request.body(client::empty())?).await?;
            ensure!(answer.status == status, "{name}: {answer:?}");
            ensure!(answer.text().contains(said), "{name}: {answer:?}");
            // The outer layer sees each response.
            ensure!(answer.header("x-passed") == "mark", "{name}: {answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_offers_an_interface_of_its_own_and_knows_who_calls_it() -> Result<()> {
    let mut example = start("own_capability", "configured").await?;
    for expected in ["100\n", "101\n"] {
        let answer = Client::new()
            .get(&format!("{}/visits", example.url))
            .await?;
        // The count begins at 200; two calls of the host make a visit.
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
    // Of two concurrent requests, each has made its own two calls.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_a_module_with_a_folder_and_a_variable() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("seen"), "")?;
    let path = folder.path().to_str().context("the folder's name")?;
    let example = start_with("wagi", "wagi-rust", &[path]).await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", example.url)).await;
    ensure!(get("/cgi?files").await?.text() == "seen\n");
    let said = get("/cgi/below").await?;
    for line in ["STAGE=example\n", "PATH_INFO=/below\n"] {
        ensure!(said.text().contains(line), "{said:?}");
    }
    ensure!(get("/elsewhere").await?.status == 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_whose_each_outgoing_request_is() -> Result<()> {
    let upstream = Upstream::start().await?;
    let to = upstream.url();
    let mut example = start_with("spans", "fanout", &[&to]).await?;
    let url = format!("{}/any?to={to}&k=1", example.url);
    let answer = Client::new().get(&url).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let id = answer.headers["x-request-id"].to_str()?;
    for expected in [
        format!("outgoing {to}/call/0 200 for {id}: exact (stack)"),
        format!("request /any 200 {id}"),
    ] {
        let line = within("a span that ends", example.lines.next_line()).await??;
        ensure!(
            line.as_deref() == Some(&expected),
            "{line:?}, not {expected}"
        );
    }
    Ok(())
}
