//! Promise: an orderly end loses no request, even during the start; the log reports start and end.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::attribution::Ledger;
use headwater_tests::guests::guest;
use headwater_tests::output::Output;
use headwater_tests::process::Process;
use headwater_tests::settings::Settings;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Modules, Upstream, within};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_at_sigterm_is_answered_and_the_exit_code_is_zero() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let mut host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", &held.url()])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    let request = tokio::spawn(async move { Client::new().get(&url).await });
    held.wait_for(1).await?;

    host.process().terminate()?;
    // The drain has begun once new connections are refused. Only then may the request go on.
    let address = host.url().trim_start_matches("http://").to_owned();
    within("a refused connection", async {
        while TcpStream::connect(&address).await.is_ok() {}
    })
    .await?;
    held.release();

    let answer = request.await??;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let status = host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_after_the_response_that_is_open_at_the_end_has_its_span() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let mut host = Host::serve(guest("detached")?)
        .args(["--allow-outgoing", &held.url(), "--drain-timeout", "1s"])
        .arg("--trace-file")
        .arg(&path)
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    let mut ledger = Ledger::default();
    let parent = ledger.enter("open");
    let answer = Client::new().get_tagged(&url, "open", &parent).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    // The call was made, and the host may wait for it or end it at once.
    let calls = held.wait_for(1).await?;
    let status = host.stop().await?;
    ensure!(status.code() == Some(0), "{status}");
    ledger.follow(&calls, &TraceFile::read(&path)?, "stack")
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_an_idle_host_with_exit_code_zero() -> Result<()> {
    let mut host = Host::serve(guest("hello")?).start().await?;
    // An open keep-alive connection must not delay the end.
    let client = Client::new();
    ensure!(client.get(host.url()).await?.status == 200);
    host.process().interrupt()?;
    let status = host.exit().await?;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

/// Returns the fields of the log record with this message.
fn record(log: &str, message: &str) -> Result<Value> {
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut records = records.filter(|record| record["fields"]["message"] == message);
    let record = records.next();
    let mut record = record.with_context(|| format!("no record `{message}`: {log}"))?;
    ensure!(records.next().is_none(), "two records `{message}`: {log}");
    ensure!(record["target"] == "headwater::host", "{record}");
    Ok(record["fields"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_for_machines_tells_of_start_and_end_in_place_of_what_people_are_told() -> Result<()>
{
    let settings = Settings::default()
        .component("faulty", "/...", &[])?
        .component("hello", "/hello", &[])?
        .write()?;
    let mut host = Host::serve(settings.path())
        .args(["--log-format", "json", "--drain-timeout", "10ms"])
        .args(["--listen", "127.0.0.1:0", "--admin=127.0.0.1:0"])
        .start()
        .await?;
    let log = host.stderr().text();
    let started = record(&log, "started")?;
    let text = |name: &str| started[name].as_str().unwrap_or_default().to_owned();
    let listeners = text("listeners");
    let listeners: Vec<_> = listeners.split(", ").collect();
    ensure!(
        listeners.len() == 2 && listeners[0] == host.url(),
        "{started}"
    );
    ensure!(text("services") == "faulty, hello", "{started}");
    ensure!(text("version").starts_with("0."), "{started}");
    let ready = Client::new()
        .get(&format!("{}/readyz", text("admin")))
        .await?;
    ensure!(ready.status == 200, "{ready:?}");

    for path in ["/", "/trap", "/hello"] {
        Client::new().get(&format!("{}{path}", host.url())).await?;
    }
    let never = tokio::spawn({
        let url = format!("{}/never", host.url());
        async move { Client::new().get(&url).await }
    });
    let requests = format!("{}/requests", text("admin"));
    within("the request that is never answered", async {
        while !Client::new()
            .get(&requests)
            .await?
            .text()
            .contains("/never")
        {}
        anyhow::Ok(())
    })
    .await??;
    ensure!(host.stop().await?.code() == Some(3));
    ensure!(never.await?.is_err(), "it was cut");
    let stopped = record(&host.stderr().text(), "stopped")?;
    ensure!(stopped["answered"] == 3 && stopped["cut"] == 1, "{stopped}");
    ensure!(
        stopped["duration_s"]
            .as_f64()
            .is_some_and(|time| time > 0.0),
        "{stopped}"
    );
    let printed = host.stdout().text();
    ensure!(printed.is_empty(), "{printed}");
    Ok(())
}

/// A host that cannot finish its start before somebody writes to a FIFO.
struct Held {
    child: Child,
    process: Process,
    log: Output,
    folder: TempDir,
}

impl Held {
    /// Runs `headwater COMMAND FILE`, with this text in the file.
    async fn start(command: &[&str], text: &str, more: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("file");
        std::fs::write(&file, text)?;
        let fifo = folder.path().join("fifo");
        ensure!(Command::new("mkfifo").arg(fifo).status()?.success());
        let host = Host::headwater().args(command.iter().copied()).arg(file);
        let mut command = host.args(more.iter().copied()).command()?;
        command.current_dir(folder.path());
        let mut child = command.spawn()?;
        let process = Process::new(child.id().context("it has ended at once")?);
        process.takes_signals().await?;
        Ok(Self {
            log: Output::capture(child.stderr.take().context("no standard error")?),
            child,
            process,
            folder,
        })
    }

    /// Starts one that reads a secret before anything else.
    async fn by_a_secret() -> Result<Self> {
        let text = format!(
            "[[service]]\nname = \"it\"\nroute = \"/...\"\ncomponent = {:?}\n\
             secrets = {{ KEY = {{ file = \"fifo\" }} }}\n",
            guest("hello")?
        );
        let more = ["--listen", "127.0.0.1:0", "--log-format", "json"];
        Self::start(&["serve"], &text, &more).await
    }

    /// Starts one that reads a module while it answers probes.
    async fn by_a_module() -> Result<Self> {
        let text = "[[module]]\nroute = \"/\"\nmodule = \"fifo\"\n";
        let admin = free_address()?;
        let admin_flag = format!("--admin={admin}");
        let more = ["-l", "127.0.0.1:0", "--log-format", "json", &admin_flag];
        let held = Self::start(&["wagi", "-c"], text, &more).await?;
        within("a host that says that it starts", async {
            let probe = format!("http://{admin}/readyz");
            let starting = async || Ok::<_, anyhow::Error>(Client::new().get(&probe).await?.text());
            while !starting().await.is_ok_and(|text| text == "starting\n") {
                tokio::task::yield_now().await;
            }
        })
        .await?;
        Ok(held)
    }

    /// Lets it go on, with this text in the FIFO.
    async fn release(&self, bytes: Vec<u8>) -> Result<()> {
        let fifo = self.folder.path().join("fifo");
        let written = tokio::task::spawn_blocking(move || std::fs::write(fifo, bytes));
        Ok(within("a host that reads the FIFO", written).await???)
    }

    async fn exit_code(&mut self) -> Result<Option<i32>> {
        let status = within("the end of the host", self.child.wait()).await??;
        self.log.ended().await?;
        Ok(status.code())
    }

    /// Asks it to end, which it does as if it had served.
    async fn ends_without_panic(&mut self) -> Result<()> {
        self.process.terminate()?;
        ensure!(self.exit_code().await? == Some(0), "{}", self.log.text());
        let log = self.log.text();
        record(&log, "stopped")?;
        ensure!(!log.contains("panic"), "{log}");
        Ok(())
    }
}

fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_end_while_it_starts_ends_with_exit_code_zero() -> Result<()> {
    let mut held = Held::by_a_secret().await?;
    held.process.terminate()?;
    ensure!(held.exit_code().await? == Some(0));

    let mut held = Held::by_a_module().await?;
    held.process.terminate()?;
    ensure!(held.exit_code().await? == Some(0));
    let stopped = record(&held.log.text(), "stopped")?;
    ensure!(stopped["answered"] == 0 && stopped["cut"] == 0, "{stopped}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_end_while_a_registry_does_not_answer_does_not_panic() -> Result<()>
{
    let registry = TcpListener::bind("127.0.0.1:0").await?;
    let of_registry = format!(
        "[[module]]\nroute = \"/\"\nmodule = \"oci://{}/hello:1\"\n",
        registry.local_addr()?
    );
    let of_file = format!(
        "[[module]]\nroute = \"/\"\nmodule = {:?}\n",
        guest("wagi-rust")?
    );
    let more = ["-l", "127.0.0.1:0", "--log-format", "json"];
    for reloads in [false, true] {
        let text = if reloads { &of_file } else { &of_registry };
        let mut held = Held::start(&["wagi", "-c"], text, &more).await?;
        if reloads {
            let started = |line: &str| line.contains("\"message\":\"started\"");
            held.log.wait_for("a record `started`", started).await?;
            std::fs::write(held.folder.path().join("file"), &of_registry)?;
            held.process.hang_up()?;
        }
        let _asked = within("a host that asks the registry", registry.accept()).await??;
        held.ends_without_panic().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_end_while_a_module_names_its_routes_does_not_panic() -> Result<()> {
    let endless = r#"(module (memory (export "memory") 1) (func (export "_start"))
        (func (export "_routes") (loop (br 0))))"#;
    let modules = Modules::new()?.wat("/", endless, "timeout = \"1h\"")?;
    let text = std::fs::read_to_string(modules.write()?)?;
    let more = ["-l", "127.0.0.1:0", "--log-format", "json"];
    let mut held = Held::start(&["wagi", "-c"], &text, &more).await?;
    held.process.busy().await?;
    held.ends_without_panic().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_the_end_overtakes_is_no_error() -> Result<()> {
    for _ in 0..10 {
        let mut host = Host::serve(guest("hello")?).start().await?;
        host.process().hang_up()?;
        host.process().terminate()?;
        let status = host.exit().await?;
        ensure!(status.code() == Some(0), "{status}");
        let log = host.stderr().text();
        ensure!(log.contains("stopped") && !log.contains("ERROR"), "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_load_again_while_it_starts_does_so_once_it_has() -> Result<()> {
    let module = std::fs::read(guest("wagi-rust")?)?;
    for (mut held, bytes) in [
        (Held::by_a_secret().await?, b"secret".to_vec()),
        (Held::by_a_module().await?, module),
    ] {
        held.process.hang_up()?;
        held.process.hang_up()?;
        held.process.user1()?;
        held.release(bytes.clone()).await?;
        let started = |line: &str| line.contains("\"message\":\"started\"");
        held.log.wait_for("a record `started`", started).await?;
        held.release(bytes).await?;
        let loaded = |line: &str| line.contains("reloaded: ");
        held.log.wait_for("a line about a reload", loaded).await?;
        held.process.terminate()?;
        ensure!(held.exit_code().await? == Some(0));
        let log = held.log.text();
        ensure!(log.matches("reloaded: ").count() == 1, "{log}");
    }
    Ok(())
}
