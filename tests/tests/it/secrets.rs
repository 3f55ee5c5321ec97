//! Promise: a secret reaches its guest and is visible nowhere else.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::client::empty;
use headwater_tests::guests::guest;
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Admin, Client, Host};
use http::Request;

const IN_FILE: &str = "9a1c-in-the-file";
const RENEWED: &str = "77f0-in-the-renewed-file";
const IN_VARIABLE: &str = "b33f-in-the-variable";

/// `wagi-rust` prints its environment at `/cgi`; a component has the same secrets.
fn site() -> Result<SettingsFile> {
    let mut settings = Settings::default();
    for (name, kind, program) in [
        ("cgi", "module", "wagi-rust"),
        ("hello", "component", "hello"),
    ] {
        settings = settings.text(&format!(
            "[[service]]\nname = \"{name}\"\nroute = \"/{name}\"\n{kind} = {:?}\n\
             environment = {{ STAGE = \"test\" }}\n\
             secrets = {{ KEY = {{ file = \"key\" }}, TOKEN = {{ env = \"TOKEN_OF_HOST\" }} }}\n",
            guest(program)?
        ));
    }
    let site = settings.write()?;
    fs::write(site.path().with_file_name("key"), format!("{IN_FILE}\n"))?;
    Ok(site)
}

fn is_silent(place: &str, text: &str) -> Result<()> {
    for secret in [IN_FILE, RENEWED, IN_VARIABLE] {
        ensure!(!text.contains(secret), "{place} has {secret}:\n{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_guest_and_neither_logs_nor_traces_nor_the_operator() -> Result<()> {
    let site = site()?;
    let traces = site.path().with_file_name("traces.jsonl");
    let access = site.path().with_file_name("access.log");
    let serve = Host::serve(site.path())
        .env("TOKEN_OF_HOST", IN_VARIABLE)
        .args(["--log", "trace", "--trace-file"])
        .arg(&traces)
        .arg("--access-log-to")
        .arg(&access);
    let (mut host, admin) = Admin::start(serve).await?;
    let told = Client::new()
        .get(&format!("{}/cgi", host.url()))
        .await?
        .text();
    let token = format!("\nTOKEN={IN_VARIABLE}\n");
    ensure!(told.contains(&format!("\nKEY={IN_FILE}\n")), "{told}");
    ensure!(told.contains(&token), "{told}");
    ensure!(
        Client::new()
            .get(&format!("{}/hello", host.url()))
            .await?
            .status
            == 200
    );

    fs::write(site.path().with_file_name("key"), RENEWED)?;
    let reload = Request::post(format!("{}/reload", admin.url())).body(empty())?;
    ensure!(Client::new().send(reload).await?.status == 200);
    let told = Client::new()
        .get(&format!("{}/cgi", host.url()))
        .await?
        .text();
    ensure!(told.contains(&format!("\nKEY={RENEWED}\n")), "{told}");

    for path in ["/services", "/requests", "/metrics"] {
        is_silent(path, &admin.text(path).await?)?;
    }
    ensure!(admin.text("/services").await?.contains("\"KEY\""));
    ensure!(host.stop().await?.code() == Some(0));
    is_silent("the log", &host.stderr().text())?;
    is_silent("the standard output", &host.stdout().text())?;
    for file in [traces, access] {
        is_silent(&file.to_string_lossy(), &fs::read_to_string(&file)?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_the_names_of_secrets_only() -> Result<()> {
    let site = site()?;
    let check = Host::headwater().arg("check").arg(site.path());
    let checked = check.env("TOKEN_OF_HOST", IN_VARIABLE).run_to_end().await?;
    ensure!(checked.code == Some(0), "{}", checked.stderr);
    ensure!(checked.stdout.contains("TOKEN"), "{}", checked.stdout);
    is_silent("the check", &(checked.stdout + &checked.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_secret_that_is_missing_and_tells_no_other() -> Result<()> {
    for command in ["check", "serve"] {
        let site = site()?;
        let missing = Host::headwater().arg(command).arg(site.path());
        let ended = missing.run_to_end().await?;
        ensure!(ended.code == Some(1), "{:?}", ended.code);
        ensure!(ended.stderr.contains("TOKEN_OF_HOST"), "{}", ended.stderr);
        is_silent(command, &(ended.stdout + &ended.stderr))?;

        // Invalid secrets are hidden, too: here, half of it is not text.
        let key = site.path().with_file_name("key");
        fs::write(key, [IN_FILE.as_bytes(), b"\xff"].concat())?;
        let no_text = Host::headwater().arg(command).arg(site.path());
        let ended = no_text
            .env("TOKEN_OF_HOST", IN_VARIABLE)
            .run_to_end()
            .await?;
        ensure!(ended.code == Some(1), "{:?}", ended.code);
        ensure!(ended.stderr.contains("`KEY`"), "{}", ended.stderr);
        is_silent(command, &(ended.stdout + &ended.stderr))?;
    }
    Ok(())
}
