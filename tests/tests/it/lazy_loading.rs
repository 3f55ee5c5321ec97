//! Promise: with `load = "lazy"` a guest is loaded once, by its first request; errors that need no
//! compilation prevent the start; and everybody is told the truth about a guest that is not loaded.

use std::fs;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::refusal::{FAILURE, refused};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Admin, Client, Host};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

const LAZY: &str = "load = \"lazy\"\n";

/// A component that has no HTTP handler.
const NO_HANDLER: &str = "(component)";

/// Returns what the admin listener says of a service.
async fn service(admin: &Admin, name: &str) -> Result<Value> {
    let services = admin.json("/services").await?;
    let mut list = services["services"].as_array().into_iter().flatten();
    let found = list.find(|service| service["name"] == name);
    found.cloned().context("there is no such service")
}

async fn load(admin: &Admin, name: &str) -> Result<String> {
    let load = service(admin, name).await?["load"].clone();
    Ok(load.as_str().context("no state")?.to_owned())
}

/// Returns how many services have a guest in this state, by the metric.
async fn count(admin: &Admin, state: &str) -> Result<u32> {
    let metrics = admin.text("/metrics").await?;
    let mut lines = metrics.lines();
    let line = lines.find(|line| {
        line.starts_with("headwater_service_configured{") && line.contains(&format!("\"{state}\""))
    });
    let line = line.with_context(|| format!("no {state}: {metrics}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

async fn status(host: &Host, path: &str) -> Result<u16> {
    let answer = Client::new().get(&format!("{}{path}", host.url())).await?;
    Ok(answer.status.as_u16())
}

/// Replaces the component of the service `it`.
fn put(settings: &SettingsFile, content: &[u8]) -> Result<()> {
    let (new, file) = (
        settings.path().with_file_name("new"),
        settings.path().with_file_name("it.wat"),
    );
    fs::write(&new, content)?;
    Ok(fs::rename(new, file)?)
}

async fn reloaded(host: &Host, generation: u32) -> Result<()> {
    host.process().hang_up()?;
    let line = format!("generation={generation}");
    let reloaded = host
        .stderr()
        .wait_for("a reload", |text| text.contains(&line));
    reloaded.await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_requests_load_a_guest_once_and_what_is_told_of_it_is_true() -> Result<()> {
    const CLIENTS: usize = 16;
    let settings = Settings::default()
        .component("hello", "/hello", &[])?
        .module("wagi-rust", "/module/...")?
        .component_as("early", "hello", "/early", &[])?
        .text("load = \"eager\"\n[defaults]\nload = \"lazy\"\n")
        .write()?;
    let (mut host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let text = host.stdout().text();
    ensure!(
        text.matches("    load         at the first request")
            .count()
            == 2,
        "{text}"
    );
    ensure!(text.contains("known when it is loaded"), "{text}");

    let hello = service(&admin, "hello").await?;
    ensure!(
        hello["load"] == "not_loaded" && hello["kind"] == "component" && hello["pool"].is_null(),
        "{hello}"
    );
    let module = service(&admin, "wagi-rust").await?;
    ensure!(
        module["load"] == "not_loaded" && module["kind"] == "module",
        "{module}"
    );
    ensure!(service(&admin, "early").await?["load"] == "loaded");
    ensure!(count(&admin, "not_loaded").await? == 2 && count(&admin, "loaded").await? == 1);

    let requests = ["/hello", "/module/x"]
        .into_iter()
        .flat_map(|path| (0..CLIENTS).map(move |_| path));
    let statuses = try_join_all(requests.map(|path| status(&host, path))).await?;
    ensure!(statuses == [200; 2 * CLIENTS], "{statuses:?}");
    let hello = service(&admin, "hello").await?;
    ensure!(
        hello["load"] == "loaded" && hello["pool"]["world"].is_string(),
        "{hello}"
    );
    ensure!(count(&admin, "not_loaded").await? == 0 && count(&admin, "loaded").await? == 3);
    ensure!(host.stop().await?.code() == Some(0));
    let log = host.stderr().text();
    for service in ["service=\"hello\"", "service=\"wagi-rust\""] {
        let loads = log
            .lines()
            .filter(|line| line.contains("loaded at its first request") && line.contains(service));
        ensure!(loads.count() == 1, "{log}");
    }

    // A check loads everything, and so knows more.
    let check = Host::headwater().arg("check").arg(settings.path());
    let checked = check.run_to_end().await?;
    ensure!(checked.code == Some(0), "{checked:?}");
    let text = checked.stdout;
    ensure!(
        text.matches("    load         at the first request")
            .count()
            == 2,
        "{text}"
    );
    ensure!(!text.contains("known when it is loaded"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_another_one_calls_is_loaded_by_that_call() -> Result<()> {
    let settings = Settings::default()
        .component("relay", "/...", &["http://hello.internal"])?
        .component("hello", "/hello", &[])?
        .text("[defaults]\nload = \"lazy\"\n")
        .write()?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let answer = status(&host, "/?to=http://hello.internal").await?;
    ensure!(answer == 200, "{}", host.stderr().text());
    ensure!(load(&admin, "hello").await? == "loaded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_compilation_is_refused_at_start() -> Result<()> {
    for (settings, expected) in [
        (
            Settings::default()
                .component("hello", "/...", &[])?
                .text(&format!(
                    "{LAZY}[[service]]\nname = \"x\"\nroute = \"/x\"\n"
                ))
                .text("component = \"missing.wasm\"\n"),
            "missing.wasm",
        ),
        (
            Settings::default()
                .crafted("it", "/...", "(module)")
                .text(LAZY),
            "is a core module, not a component",
        ),
        (
            Settings::default()
                .component("hello", "/...", &[])?
                .text(LAZY)
                .text("directories = { \"/data\" = \"nowhere\" }\n"),
            "nowhere",
        ),
        (
            Settings::default()
                .component("hello", "/...", &[])?
                .text("load = \"later\"\n"),
            "`eager` or `lazy`",
        ),
    ] {
        let settings = settings.write()?;
        let finished = Host::serve(settings.path()).run_to_end().await?;
        refused(&finished, FAILURE, &[expected])?;
    }
    let missing = Host::serve(guest("hello")?).args(["--load", "lazy", "--dir", "/no/such"]);
    refused(&missing.run_to_end().await?, FAILURE, &["/no/such"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_cannot_be_loaded_is_a_fault_and_others_are_served() -> Result<()> {
    let settings = Settings::default()
        .crafted("it", "/it", NO_HANDLER)
        .text(LAZY)
        .component("hello", "/hello", &[])?
        .write()?;
    let (mut host, admin) = Admin::start(Host::serve(settings.path())).await?;
    for _ in 0..2 {
        let answer = Client::new().get(&format!("{}/it", host.url())).await?;
        ensure!(answer.status == 500, "{answer:?}");
        let text = answer.text();
        ensure!(text.contains("the service could not be loaded"), "{text}");
        ensure!(!text.contains("handler"), "{text}");
    }
    let it = service(&admin, "it").await?;
    let reason = it["load_error"].as_str().unwrap_or_default();
    ensure!(
        it["load"] == "failed" && reason.contains("no HTTP handler"),
        "{it}"
    );
    ensure!(count(&admin, "failed").await? == 1);
    ensure!(status(&host, "/hello").await? == 200);

    // A reload tries it again, although nothing has changed.
    reloaded(&host, 2).await?;
    ensure!(load(&admin, "it").await? == "not_loaded");
    ensure!(host.stop().await?.code() == Some(0));
    let log = host.stderr().text();
    ensure!(
        log.matches("cannot be loaded, and its").count() == 1,
        "{log}"
    );
    ensure!(log.contains("it exports no HTTP handler"), "{log}");
    ensure!(log.matches("kind=\"load\"").count() == 2, "{log}");

    let check = Host::headwater().arg("check").arg(settings.path());
    refused(&check.run_to_end().await?, FAILURE, &["no HTTP handler"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_since_the_start_is_not_used_before_a_reload() -> Result<()> {
    let settings = Settings::default()
        .crafted("it", "/...", NO_HANDLER)
        .text(LAZY)
        .write()?;
    put(&settings, &fs::read(guest("stream")?)?)?;
    let host = Host::serve(settings.path()).start().await?;
    put(&settings, &fs::read(guest("hello")?)?)?;
    ensure!(status(&host, "/").await? == 500);
    let fault = |line: &str| line.contains("guest_file") && line.contains("has changed since");
    host.stderr().wait_for("the fault", fault).await?;
    reloaded(&host, 2).await?;
    let answer = Client::new().get(host.url()).await?;
    ensure!(answer.text().contains("Hello"), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_loads_what_is_in_use_and_nothing_else() -> Result<()> {
    let settings = Settings::default()
        .crafted("it", "/it", NO_HANDLER)
        .text(LAZY)
        .component_as("other", "hello", "/other", &[])?
        .text(LAZY)
        .write()?;
    put(&settings, &fs::read(guest("hello")?)?)?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    ensure!(status(&host, "/it").await? == 200);

    // A broken version of a guest that is in use fails the reload.
    put(&settings, NO_HANDLER.as_bytes())?;
    host.process().hang_up()?;
    let failed = |line: &str| line.contains("reload failed") && line.contains("no HTTP handler");
    host.stderr().wait_for("a failed reload", failed).await?;
    ensure!(status(&host, "/it").await? == 200);

    put(&settings, &fs::read(guest("stream")?)?)?;
    reloaded(&host, 2).await?;
    ensure!(load(&admin, "it").await? == "loaded");
    ensure!(load(&admin, "other").await? == "not_loaded");
    ensure!(status(&host, "/other").await? == 200);

    // A guest that has not changed stays loaded.
    reloaded(&host, 3).await?;
    ensure!(load(&admin, "other").await? == "loaded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_guest_can_be_loaded_lazily_also_from_a_pipe() -> Result<()> {
    let folder = TempDir::new()?;
    let pipe = folder.path().join("hello");
    let made = Command::new("mkfifo").arg(&pipe).status().await?;
    ensure!(made.success(), "{made}");
    let content = fs::read(guest("hello")?)?;
    let writer = pipe.clone();
    let written = tokio::task::spawn_blocking(move || fs::write(writer, content));
    let host = Host::serve(&pipe).args(["--load", "lazy"]).start().await?;
    written.await??;
    ensure!(status(&host, "/").await? == 200, "{}", host.stderr().text());
    Ok(())
}
