//! Promise: if the reader of an output stalls, requests, probes, signals and the drain go on;
//! losses are counted, and reported once there is room again. The host or other programs may rotate
//! files.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::client::{empty, full};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Admin, Client, Host, within};
use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use tokio::net::TcpStream;

const CLIENTS: usize = 16;

/// The default capacity of a pipe: see pipe(7).
const PIPE: usize = 64 << 10;

/// Settings of a good guest at `/`, one that traps and one that makes denied calls. The trapping one is a
/// separate service: a trap ends all requests of its instance.
fn site(sections: &str) -> Result<SettingsFile> {
    Settings::default()
        .component("faulty", "/...", &[])?
        .component_as("trapping", "faulty", "/trap", &[])?
        .component("fanout", "/denied", &[])?
        .text(sections)
        .write()
}

/// Sends requests until `done` that cause much output. Each is answered.
async fn under_load<T>(host: &str, done: impl Future<Output = Result<T>>) -> Result<T> {
    let url = format!("{host}/{}", "long".repeat(1500));
    // Six times as long after escaping.
    let agent = HeaderValue::from_bytes(&[0xff; 1000])?;
    let load = try_join_all((0..CLIENTS).map(async |_| {
        let client = Client::new();
        loop {
            let request = Request::get(&url).header(USER_AGENT, &agent);
            let answer = client.send(request.body(empty())?).await?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        }
        #[allow(unreachable_code, reason = "its type")]
        Ok(())
    }));
    tokio::select! {
        done = done => done,
        failed = load => Err(failed.err().context("the load has ended")?),
    }
}

/// Waits until records of all of these outputs were lost.
async fn lost(admin: &Admin, outputs: &[&str]) -> Result<()> {
    let lost = |metrics: &str, output: &str| {
        let name = format!("headwater_output_lost_total{{headwater_output=\"{output}\"}} ");
        let mut counts = metrics.lines().filter_map(|line| line.strip_prefix(&name));
        counts.next().is_some_and(|count| count != "0")
    };
    admin
        .until("/metrics", |metrics| {
            outputs.iter().all(|output| lost(metrics, output))
        })
        .await?;
    Ok(())
}

/// Checks that all are answered: clients, also those that are denied something, and probes.
async fn all_is_well(host: &str, admin: &Admin) -> Result<()> {
    for path in ["/", "/trap", "/denied?to=http://192.0.2.1&k=1"] {
        Client::new().get(&format!("{host}{path}")).await?;
    }
    ensure!(Client::new().get(host).await?.status == 200);
    ensure!(admin.text("/healthz").await? == "ok\n");
    ensure!(admin.text("/readyz").await? == "ready\n");
    admin.json("/services").await?;
    Ok(())
}

async fn log_all(admin: &Admin, filter: &'static str) -> Result<()> {
    let set = Request::put(format!("{}/log", admin.url())).body(full(filter))?;
    ensure!(Client::new().send(set).await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_error_that_nobody_reads_holds_up_nothing_and_what_is_lost_is_told_of()
-> Result<()> {
    let site = site("[access_log]\n[telemetry]\ntrace_tree = \"always\"\n")?;
    let (mut host, admin) = Admin::start(Host::serve(site.path())).await?;
    let url = host.url().to_owned();
    log_all(&admin, "trace").await?;
    host.stderr().stall();
    let outputs = ["log", "access_log", "trace_tree"];
    under_load(&url, async {
        lost(&admin, &outputs).await?;
        all_is_well(&url, &admin).await
    })
    .await?;

    log_all(&admin, "info").await?;
    host.stderr().resume();
    for (output, title) in [
        ("log", "the log"),
        ("access_log", "the access log"),
        ("trace_tree", "the trace tree"),
    ] {
        let told = format!("records are missing from {title}: ");
        let what = format!("a line that tells of {output}");
        let line = host.stderr().wait_for(&what, |line| line.contains(&told));
        let line = line.await?;
        ensure!(
            line.contains(&format!("output=\"{output}\" lost=")),
            "{line}"
        );
    }

    host.stderr().stall();
    log_all(&admin, "trace").await?;
    under_load(&url, lost(&admin, &outputs)).await?;
    host.process().terminate()?;
    ensure!(host.ended().await?.code() == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_host_at_once_though_nobody_reads_what_it_writes() -> Result<()> {
    let site = site("[access_log]\nto = \"stdout\"\n[defaults]\ntimeout = \"1h\"\n")?;
    let serve = Host::serve(site.path()).args(["--log", "trace", "--drain-timeout", "1h"]);
    let (mut host, admin) = Admin::start(serve).await?;
    let url = host.url().to_owned();
    host.stdout().stall();
    host.stderr().stall();
    let never = tokio::spawn({
        let url = format!("{url}/never");
        async move { Client::new().get(&url).await }
    });
    admin
        .until("/requests", |requests| requests.contains("/never"))
        .await?;
    under_load(&url, lost(&admin, &["log", "access_log"])).await?;
    all_is_well(&url, &admin).await?;

    host.process().terminate()?;
    within("a host that takes no more connections", async {
        while TcpStream::connect(host.address()).await.is_ok() {}
    })
    .await?;
    ensure!(admin.text("/healthz").await? == "ok\n");
    host.process().terminate()?;
    ensure!(host.ended().await?.code() == Some(130));
    ensure!(never.await?.is_err(), "the request was cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_take_nothing_hold_up_nothing() -> Result<()> {
    let site = site(
        "[access_log]\nto = \"access\"\n[telemetry]\ntrace_file = \"traces\"\naudit_log = \"audit\"\n",
    )?;
    for name in FILES {
        make_fifo(&site.path().with_file_name(name))?;
    }
    let (mut host, admin) = Admin::start(Host::serve(site.path())).await?;
    let url = host.url().to_owned();
    under_load(&url, async {
        lost(&admin, &["access_log", "trace_file"]).await?;
        all_is_well(&url, &admin).await
    })
    .await?;
    host.process().terminate()?;
    let status = host.exit().await?;
    let log = host.stderr().text();
    ensure!(status.code() == Some(0), "{status}: {log}");
    for output in ["access_log", "trace_file", "audit_log"] {
        let told = format!(
            "the last records could not be written in time and are lost: the reader is too slow output=\"{output}\""
        );
        // The few lines of the audit log fit into the pipe.
        ensure!(
            log.contains(&told) == (output != "audit_log"),
            "{output}: {log}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_an_end_need_nobody_who_reads() -> Result<()> {
    let site = site("[access_log]\nto = \"stdout\"\n")?;
    let [listen, admin] = free_addresses()?;
    let serve = Host::headwater().arg("serve").arg(site.path());
    let mut command = serve
        .args(["--listen", &listen, &format!("--admin={admin}")])
        .command()?;
    // Full before the first output.
    let (_reader, mut writer) = std::io::pipe()?;
    writer.write_all(&vec![b'\n'; PIPE])?;
    command
        .stdout(writer.try_clone()?)
        .stderr(Stdio::from(writer));
    let mut child = command.spawn()?;
    drop(command);

    let (url, admin) = (format!("http://{listen}"), Admin::at(admin));
    within("a host that is ready", async {
        while admin.text("/readyz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await?;
    under_load(&url, lost(&admin, &["access_log"])).await?;
    all_is_well(&url, &admin).await?;
    let process = headwater_tests::process::Process::new(child.id().context("it has ended")?);
    process.terminate()?;
    let status = within("the end of the host", child.wait()).await??;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_start_says_so_to_nobody_and_ends() -> Result<()> {
    for (arguments, code) in [
        (&["serve", "/no/such/file"][..], 1),
        (&["serve", "--no-such-flag"], 2),
    ] {
        let host = Host::headwater().args(arguments.iter().copied());
        let mut command = host.command()?;
        let (_reader, mut writer) = std::io::pipe()?;
        writer.write_all(&vec![b'\n'; PIPE])?;
        command.stderr(Stdio::from(writer));
        let mut child = command.spawn()?;
        drop(command);
        let status = within("the end of the host", child.wait()).await??;
        ensure!(status.code() == Some(code), "{arguments:?}: {status}");
    }
    Ok(())
}

/// The files that the host writes, beside its settings.
const FILES: [&str; 3] = ["access", "traces", "audit"];

/// Returns the contents of all files of this name, including rotated ones, and their number.
fn all_of(site: &SettingsFile, name: &str) -> Result<(String, usize)> {
    let (mut text, mut files) = (String::new(), 0);
    for entry in fs::read_dir(site.path().parent().context("a folder")?)? {
        let path = entry?.path();
        if path.to_string_lossy().contains(&format!("/{name}")) {
            text += &fs::read_to_string(path)?;
            files += 1;
        }
    }
    Ok((text, files))
}

/// Sends this many requests, each for something that is denied.
async fn ask_for_what_is_denied(host: &Host, times: usize) -> Result<()> {
    let url = format!("{}/denied?to=http://192.0.2.1&k=1&wait=0", host.url());
    for _ in 0..times {
        ensure!(Client::new().get(&url).await?.status == 502);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_another_program_moves_are_made_anew_with_a_signal_and_without() -> Result<()> {
    let site = site(
        "[access_log]\nto = \"access\"\n[telemetry]\ntrace_file = \"traces\"\naudit_log = \"audit\"\n",
    )?;
    let mut host = Host::serve(site.path()).start().await?;
    let there = |name: &str| site.path().with_file_name(name);
    let move_all = |to: &str| {
        FILES.iter().try_for_each(|name| {
            let moved = there(&format!("{name}.{to}"));
            fs::rename(there(name), moved).with_context(|| format!("moving {name}"))
        })
    };
    // A line that is still in a queue would be written to the next file.
    let written = async || {
        let has_lines = |name| fs::metadata(there(name)).is_ok_and(|file| file.len() > 0);
        within("files with lines", async {
            while !FILES.into_iter().all(has_lines) {
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    ask_for_what_is_denied(&host, 1).await?;
    written().await?;
    move_all("1")?;
    // Moved files stay in use until something is written.
    ask_for_what_is_denied(&host, 1).await?;
    written().await?;
    move_all("2")?;
    host.process().user1()?;
    let anew = |line: &str| line.contains("the file was reopened");
    host.stderr()
        .wait_for_lines("files that were opened anew", 3, anew)
        .await?;
    for name in FILES {
        ensure!(fs::metadata(there(name))?.len() == 0, "{name}");
    }
    ask_for_what_is_denied(&host, 1).await?;
    ensure!(host.stop().await?.code() == Some(0));
    for (name, found) in [
        ("access", "\"status\":502"),
        ("traces", "\"headwater.request_id\""),
        ("audit", "\"destination\""),
    ] {
        let (text, files) = all_of(&site, name)?;
        ensure!(files == 3, "{name}: {files} files");
        // A trace has the request's id in both of its spans.
        let each = if name == "traces" { 2 } else { 1 };
        ensure!(text.matches(found).count() == 3 * each, "{name}: {text}");
        let last = fs::read_to_string(there(name))?;
        ensure!(last.contains(found), "{name}: {last}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_file_and_the_audit_log_are_put_aside_as_the_access_log_is() -> Result<()> {
    let site = site(
        "[access_log]\nto = \"access\"\nrotate = \"1KiB\"\nkeep = 2\n\
         [telemetry]\ntrace_file = \"traces\"\ntrace_file_rotate = \"1KiB\"\ntrace_file_keep = 2\n\
         audit_log = \"audit\"\naudit_log_rotate = \"1KiB\"\naudit_log_keep = 2\n",
    )?;
    let mut host = Host::serve(site.path()).start().await?;
    for asked in 1..=8 {
        ask_for_what_is_denied(&host, 1).await?;
        // Spans that end together would share a line, which is never split.
        within("the spans of a request", async {
            let lines = |(text, _): (String, usize)| text.lines().count();
            // A file may be rotated just then, and the oldest are removed.
            while all_of(&site, "traces").map_or(0, lines) < asked.min(3) {
                tokio::task::yield_now().await;
            }
        })
        .await?;
    }
    ensure!(host.stop().await?.code() == Some(0));
    for name in FILES {
        let (text, files) = all_of(&site, name)?;
        ensure!(files == 3, "{name}: {files} files: {text}");
    }
    Ok(())
}

fn make_fifo(path: &Path) -> Result<()> {
    ensure!(Command::new("mkfifo").arg(path).status()?.success());
    Ok(())
}

/// Returns addresses that nobody listens at yet.
fn free_addresses() -> Result<[String; 2]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let [one, two] = listeners.map(|listener| listener.local_addr());
    Ok([one?.to_string(), two?.to_string()])
}
