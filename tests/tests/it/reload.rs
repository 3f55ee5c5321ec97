//! Promise: a reload under load loses no request; broken settings or guests replace nothing, and
//! unchanged services go on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::client::empty;
use headwater_tests::guests::guest;
use headwater_tests::steady::{self, Until};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Admin, Client, Host, Modules, Upstream, by_tier};
use http::Request;
use tempfile::TempDir;

const OLD: &str = "Hello from Headwater!";
const NEW: &str = "try /echo";

/// A service whose guest can be replaced.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Result<Self> {
        let site = Self {
            folder: TempDir::new()?,
        };
        site.guest("hello")?;
        fs::write(
            site.file(),
            "[[service]]\nname = \"it\"\nroute = \"/...\"\ncomponent = \"it.wasm\"\n",
        )?;
        Ok(site)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("headwater.toml")
    }

    /// Replaces the guest, as a compiler does.
    fn guest(&self, name: &str) -> Result<()> {
        self.put(&guest(name)?)
    }

    fn put(&self, from: &Path) -> Result<()> {
        let new = self.folder.path().join("new");
        fs::copy(from, &new)?;
        fs::rename(new, self.folder.path().join("it.wasm"))?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_of_many_requests_while_versions_replace_each_other() -> Result<()> {
    const CLIENTS: u64 = 16;
    let requests = by_tier(16_000, 100_000);
    let site = Site::new()?;
    let host = Host::serve(site.file()).start().await?;
    let url = host.url().to_owned();
    let load = tokio::spawn(async move {
        let each = Until::Requests(requests / CLIENTS);
        steady::ask(&url, "/", CLIENTS as usize, each, |_, body| {
            let text = String::from_utf8_lossy(body);
            ensure!(text.contains(OLD) || text.contains(NEW), "{text}");
            Ok(())
        })
        .await
    });
    let mut generation = 1;
    while !load.is_finished() {
        site.guest(if generation % 2 == 1 {
            "stream"
        } else {
            "hello"
        })?;
        host.process().hang_up()?;
        generation += 1;
        let loaded = format!("generation={generation}");
        host.stderr()
            .wait_for("a line about a reload", |line| line.contains(&loaded))
            .await?;
        // The new version answers as soon as the log reports it.
        let expected = if generation % 2 == 1 { OLD } else { NEW };
        let answer = Client::new().get(host.url()).await?;
        ensure!(answer.text().contains(expected), "{}", answer.text());
    }
    let done = load.await??;
    ensure!(done.answered == requests, "{done:?}");
    ensure!(done.told_to_close == 0, "{done:?}");
    ensure!(generation > 3, "it was loaded {generation} times only");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_loaded_again_if_asked_for_and_a_broken_one_changes_nothing()
-> Result<()> {
    let site = Site::new()?;
    let mut host = Host::serve(site.file()).arg("--watch").start().await?;
    ensure!(Client::new().get(host.url()).await?.text().contains(OLD));

    let broken = site.folder.path().join("broken");
    fs::write(&broken, b"no component")?;
    site.put(&broken)?;
    host.stderr()
        .wait_for("a line that says that nothing changed", |line| {
            line.contains("reload failed") && line.contains("it.wasm")
        })
        .await?;
    ensure!(Client::new().get(host.url()).await?.text().contains(OLD));

    site.guest("stream")?;
    host.stderr()
        .wait_for("a line about a reload", |line| {
            line.contains("generation=2")
        })
        .await?;
    ensure!(Client::new().get(host.url()).await?.text().contains(NEW));
    ensure!(host.stop().await?.code() == Some(0));
    Ok(())
}

/// Two services: `it` with every setting, and `other`.
struct Pair {
    site: Site,
    host: Host,
    generation: u64,
}

const OTHER: &str =
    "[[service]]\nname = \"other\"\nroute = \"/other/...\"\ncomponent = \"other.wasm\"\n";

impl Pair {
    async fn start(rate: &str) -> Result<Self> {
        let site = Site::new()?;
        site.guest("faulty")?;
        fs::copy(guest("hello")?, site.folder.path().join("other.wasm"))?;
        fs::write(site.folder.path().join("secret"), "first")?;
        fs::create_dir(site.folder.path().join("v1"))?;
        fs::create_dir(site.folder.path().join("v2"))?;
        site.link("v1")?;
        fs::write(site.file(), format!("{OTHER}{}", it("/it/...", rate)))?;
        Ok(Self {
            host: Host::serve(site.file()).start().await?,
            site,
            generation: 1,
        })
    }

    /// Reloads the host. Returns the line about it.
    async fn reload(&mut self) -> Result<String> {
        self.host.process().hang_up()?;
        self.generation += 1;
        let loaded = format!("generation={} ", self.generation);
        self.host
            .stderr()
            .wait_for("a line about a reload", |line| line.contains(&loaded))
            .await
    }

    fn change(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.site.file())?;
        ensure!(text.contains(from), "{text}");
        fs::write(self.site.file(), text.replace(from, to))?;
        Ok(())
    }

    /// Returns the instance that answers, and its count of requests.
    async fn told(&self, path: &str) -> Result<(String, u64)> {
        let answer = Client::new()
            .get(&format!("{}{path}/instance", self.host.url()))
            .await?;
        let text = answer.text();
        ensure!(answer.status == 200, "{}: {text}", answer.status);
        let told = text.trim().split_once(' ');
        let (instance, number) = told.context("no number is told")?;
        Ok((instance.to_owned(), number.parse()?))
    }
}

fn it(route: &str, more: &str) -> String {
    format!(
        "[[service]]\nname = \"it\"\nroute = {{ path = {route:?}, strip_prefix = true }}\n\
         component = \"it.wasm\"\nsecrets = {{ KEY = {{ file = \"secret\" }} }}\n\
         directories = {{ \"/data\" = \"data\" }}\nmax_requests_per_instance = 100000\n{more}\n"
    )
}

impl Site {
    /// Makes `data` lead to another directory, as deployments replace releases.
    fn link(&self, to: &str) -> Result<()> {
        let (new, data) = (
            self.folder.path().join("link"),
            self.folder.path().join("data"),
        );
        std::os::unix::fs::symlink(self.folder.path().join(to), &new)?;
        fs::rename(new, data)?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_goes_on_where_another_service_or_only_a_route_has_changed() -> Result<()> {
    let mut pair = Pair::start("").await?;
    let (instance, first) = pair.told("/it").await?;
    ensure!(first == 1, "{first}");

    // No change; another guest; a setting of another service; the other removed, and added again; a
    // route; the order.
    let said = pair.reload().await?;
    ensure!(said.contains("stay=2") && said.contains("come=0"), "{said}");
    fs::copy(guest("stream")?, pair.site.folder.path().join("other.wasm"))?;
    let said = pair.reload().await?;
    ensure!(said.contains("stay=1") && said.contains("come=1"), "{said}");
    pair.change("other.wasm\"\n", "other.wasm\"\ntimeout = \"7s\"\n")?;
    let said = pair.reload().await?;
    ensure!(said.contains("stay=1") && said.contains("come=1"), "{said}");
    ensure!(pair.told("/it").await? == (instance.clone(), 2));
    fs::write(pair.site.file(), it("/moved/...", ""))?;
    pair.reload().await?;
    ensure!(pair.told("/moved").await? == (instance.clone(), 3));
    let gone = pair.told("/it").await;
    ensure!(gone.is_err_and(|error| error.to_string().contains("404")));
    fs::write(
        pair.site.file(),
        it("/moved/...", "max_in_flight = 9") + OTHER,
    )?;
    let said = pair.reload().await?;
    ensure!(said.contains("stay=1") && said.contains("come=1"), "{said}");
    ensure!(pair.told("/moved").await? == (instance, 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_begins_anew_when_anything_has_changed_that_it_is_made_of() -> Result<()> {
    let mut pair = Pair::start("").await?;
    let (mut instance, _) = pair.told("/it").await?;
    for step in 0..6 {
        match step {
            0 => fs::write(pair.site.folder.path().join("secret"), "second")?,
            1 => pair.site.link("v2")?,
            2 => pair.change("100000", "200000")?,
            3 => pair.change(
                "[[service]]\nname = \"it\"",
                "[defaults]\noutgoing.max_requests = 7\n[[service]]\nname = \"it\"",
            )?,
            4 => pair.change(
                "strip_prefix = true }",
                "strip_prefix = true }\nallow_outgoing = [\"a.example\"]",
            )?,
            // A guest that behaves the same, but has other bytes.
            _ => {
                let mut bytes = fs::read(guest("faulty")?)?;
                // A custom section: its id, its size, and the name `x`.
                bytes.extend([0, 2, 1, b'x']);
                let new = pair.site.folder.path().join("newer");
                fs::write(&new, bytes)?;
                pair.site.put(&new)?;
            }
        }
        let said = pair.reload().await?;
        // Common settings are part of both services.
        let others = if step == 3 { "stay=0" } else { "stay=1" };
        ensure!(said.contains(others), "step {step}: {said}");
        let (now, told) = pair.told("/it").await?;
        ensure!(now != instance && told == 1, "step {step}: {now} {told}");
        instance = now;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_for_a_service_s_rate_goes_on_as_long_as_the_rate_is_the_same()
-> Result<()> {
    let mut pair = Pair::start("rate = \"2/h\"").await?;
    let status = async |pair: &Pair| -> Result<u16> {
        let url = format!("{}/it/instance", pair.host.url());
        Ok(Client::new().get(&url).await?.status.as_u16())
    };
    ensure!(status(&pair).await? == 200);
    pair.change("other/...", "others/...")?;
    pair.reload().await?;
    ensure!((status(&pair).await?, status(&pair).await?) == (200, 429));
    pair.change("2/h", "3/h")?;
    let said = pair.reload().await?;
    ensure!(said.contains("stay=2"), "{said}");
    ensure!(status(&pair).await? == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_has_changed_is_named_and_what_needs_a_restart_is_told_of_once() -> Result<()>
{
    let site = Site::new()?;
    let service = |name: &str, more: &str| {
        format!(
            "[[service]]\nname = {name:?}\nroute = \"/{name}\"\ncomponent = \"it.wasm\"\n{more}\n"
        )
    };
    let before = service("same", "") + &service("other", "") + &service("gone", "");
    fs::write(site.file(), before)?;
    let (mut host, admin) = Admin::start(Host::serve(site.file())).await?;
    let told = admin.json("/services").await?;
    let all = serde_json::json!({
        "added": ["same", "other", "gone"], "removed": [], "changed": [], "chains": []
    });
    ensure!(told["last_change"] == all, "{told}");
    ensure!(told["needs_restart"] == serde_json::json!([]), "{told}");

    let after = service("same", "") + &service("other", "timeout = \"7s\"") + &service("new", "");
    let host_settings = "[server]\nplaces = 50\n[telemetry]\nlog = \"debug\"\n";
    fs::write(site.file(), after + host_settings)?;
    let mut reloads = 1;
    let mut reload = async || {
        reloads += 1;
        host.process().hang_up()?;
        let loaded = format!("generation={reloads} ");
        let line = host
            .stderr()
            .wait_for("a line about a reload", |line| line.contains(&loaded));
        line.await
    };
    let line = reload().await?;
    let named = "stay=1 come=2 added=\"new\" removed=\"gone\" changed=\"other\"";
    ensure!(line.ends_with(named), "{line}");
    let told = admin.json("/services").await?;
    let changes = serde_json::json!({
        "added": ["new"], "removed": ["gone"], "changed": ["other"], "chains": []
    });
    ensure!(told["last_change"] == changes, "{told}");
    let keys = serde_json::json!(["server.places", "telemetry.log"]);
    ensure!(told["needs_restart"] == keys, "{told}");

    let line = reload().await?;
    ensure!(line.ends_with("stay=3 come=0"), "{line}");
    let told = admin.json("/services").await?;
    ensure!(told["needs_restart"] == keys, "{told}");
    ensure!(host.stop().await?.code() == Some(0));
    let log = host.stderr().text();
    let warned = log.matches("keys=\"server.places, telemetry.log\"");
    ensure!(warned.count() == 1, "{log}");
    Ok(())
}

/// Returns true if a handshake with the host at this address has a certificate of this authority.
async fn shows(address: &str, authority: &Authority) -> bool {
    authority.connect(address, "localhost").await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_at_once_and_a_broken_one_changes_nothing() -> Result<()> {
    let site = Site::new()?;
    let issue = || -> Result<Authority> {
        let authority = Authority::new("authority")?;
        authority.certify(&site.folder.path().join("c"), "localhost")?;
        Ok(authority)
    };
    let old = issue()?;
    let text = fs::read_to_string(site.file())?;
    let listener = "[[listener]]\nlisten = \"127.0.0.1:0\"\ntls.certificates = [{ certificate = \"c.pem\", \
                    key = \"c.key\" }]\n";
    fs::write(site.file(), format!("{text}{listener}"))?;
    let serve = Host::headwater().arg("serve").arg(site.file());
    let (host, admin) = Admin::start(serve).await?;
    let address = host.url().trim_start_matches("https://");
    let reload = async || {
        let request = Request::post(format!("{}/reload", admin.url())).body(empty())?;
        Client::new().send(request).await
    };
    ensure!(shows(address, &old).await);

    let new = issue()?;
    let answer = reload().await?;
    ensure!(answer.status == 200, "{}", answer.text());
    ensure!(shows(address, &new).await && !shows(address, &old).await);

    fs::write(site.folder.path().join("c.pem"), "no certificate")?;
    site.guest("stream")?;
    let answer = reload().await?;
    ensure!(
        answer.status == 422 && answer.text().contains("c.pem"),
        "{}",
        answer.text()
    );
    ensure!(shows(address, &new).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_module_counts_until_its_last_request_is_over() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let file = |max: u32| -> Result<Modules> {
        let more = format!("allowed_hosts = [{:?}]\nmax_instances = {max}", held.url());
        Modules::new()?.guest("/...", "wagi-outgoing", &more)
    };
    let modules = file(5)?;
    let path = modules.write()?;
    let (mut host, admin) = Admin::start(Host::wagi(&path)).await?;
    let url = format!("{}/?to={}&k=1", host.url(), held.url());
    let request = tokio::spawn(async move { Client::new().get(&url).await });
    held.wait_for(1).await?;
    fs::copy(file(6)?.write()?, &path)?;
    host.process().hang_up()?;
    let reloaded = |text: &str| text.contains("\"generation\":2");
    let services = admin.until("/services", reloaded).await?;
    ensure!(
        services.contains("\"services_that_finish\":1"),
        "{services}"
    );
    held.release();
    ensure!(request.await??.status == 200);
    let finished = |text: &str| text.contains("\"services_that_finish\":0");
    admin.until("/services", finished).await?;
    ensure!(host.stop().await?.code() == Some(0));
    Ok(())
}
