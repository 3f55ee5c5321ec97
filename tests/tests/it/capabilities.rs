//! Promise: a guest has those of the host's interfaces that its service is granted, and the
//! operator sees it.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;
use headwater_tests::{Admin, Client, Host};
use serde_json::json;

const CONFIG: &str = r#"config = { greeting = "hello", token = { file = "token" }, from = { env = "CONFIGURED_FROM" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_reads_the_values_of_its_service_and_no_others() -> Result<()> {
    let site = Settings::default()
        .component("configured", "/...", &[])?
        .text(CONFIG)
        .component_as("bare", "configured", "/bare", &[])?
        .write()?;
    fs::write(site.path().with_file_name("token"), "s3cret\n")?;
    let host = Host::serve(site.path()).env("CONFIGURED_FROM", "the host");
    let (mut host, admin) = Admin::start(host).await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", host.url())).await;
    let all = get("/").await?.text();
    ensure!(
        all == "from=the host\ngreeting=hello\ntoken=s3cret\nsame: true\n",
        "{all}"
    );
    ensure!(get("/token").await?.text() == "s3cret\n");
    ensure!(get("/nothing").await?.status == 404);
    ensure!(get("/bare").await?.status == 404);

    let services = admin.json("/services").await?;
    let grants = &services["services"][0]["grants"];
    ensure!(
        grants["config"] == json!(["from", "greeting", "token"]),
        "{grants}"
    );
    let banner = host.stdout().text();
    ensure!(
        banner.contains("    config       from, greeting, token\n"),
        "{banner}"
    );
    ensure!(!banner.contains("s3cret"), "{banner}");

    // A changed value rebuilds the service.
    fs::write(site.path().with_file_name("token"), "other")?;
    host.process().hang_up()?;
    host.stderr()
        .wait_for("a reload", |line| line.contains("reloaded: "))
        .await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", host.url())).await;
    ensure!(get("/token").await?.text() == "other\n");
    ensure!(host.stop().await?.code() == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_guest_is_granted_values_by_flags() -> Result<()> {
    let component = guest("configured")?;
    let host = Host::serve(&component).args(["--config-value", "a=1", "--config-value=b=x=y"]);
    let mut host = host.start().await?;
    let all = Client::new().get(host.url()).await?.text();
    ensure!(all == "a=1\nb=x=y\nsame: true\n", "{all}");
    ensure!(host.stop().await?.code() == Some(0));

    let refused = Host::serve(&component).args(["--config-value", "a"]);
    let refused = refused.run_to_end().await?.stderr;
    ensure!(
        refused.contains("--config-value: write NAME=VALUE"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_grant_is_told_with_its_place_and_without_values() -> Result<()> {
    for (guest, config, said) in [
        ("component", "config = 5", "expected a table"),
        (
            "component",
            "config = { a = 5 }",
            "expected text, or where it is read from",
        ),
        (
            "component",
            "config = { a = { file = \"none\" } }",
            "the secret `a` cannot be read",
        ),
        (
            "component",
            "confg = { a = \"x\" }",
            "did you mean `config`?",
        ),
        (
            "module",
            "config = { a = \"x\" }",
            "`config` is for components",
        ),
    ] {
        let settings = Settings::default();
        let settings = match guest {
            "component" => settings.component("hello", "/...", &[])?,
            _ => settings.module("wagi-wat", "/...")?,
        };
        let site = settings.text(&format!("{config}\n")).write()?;
        let refused = Host::serve(site.path()).run_to_end().await?.stderr;
        ensure!(refused.contains(said), "{config}: {refused}");
        ensure!(refused.contains("line 6"), "{config}: {refused}");
    }
    Ok(())
}
