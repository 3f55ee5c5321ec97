//! Promise: what `headwater check` finds good can be served, and what cannot is told with its place.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::guests::{self, guest};
use headwater_tests::refusal::{FAILURE, refused};
use headwater_tests::{Finished, Host};
use tempfile::TempDir;

const ANSWER: &str = "[[answer]]\nroute = \"/\"\n";

/// A folder with a headwater.toml.
fn folder(text: &str) -> Result<TempDir> {
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("folder"))?;
    fs::write(folder.path().join("headwater.toml"), text)?;
    Ok(folder)
}

async fn check(folder: &TempDir) -> Result<Finished> {
    let file = folder.path().join("headwater.toml");
    Host::headwater().arg("check").arg(&file).run_to_end().await
}

/// Checks that a file is refused, with the file's name, these words, and nothing made or changed.
async fn refuses(text: &str, expected: &[&str]) -> Result<()> {
    let folder = folder(text)?;
    let finished = check(&folder).await?;
    refused(&finished, FAILURE, expected)?;
    refused(&finished, FAILURE, &["headwater.toml"])?;
    ensure!(fs::read_dir(folder.path())?.count() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_could_not_be_written_is_told_with_its_place() -> Result<()> {
    for (section, expected) in [
        (
            "[access_log]\nto = \"folder\"",
            ["line 4, column 1: to =", "is a directory"],
        ),
        (
            "[access_log]\nto = \"none/log\"",
            ["line 4, column 1: to =", "no directory"],
        ),
        (
            "[telemetry]\ntrace_file = \"folder\"",
            ["line 4, column 1: trace_file", "is a directory"],
        ),
        (
            "[telemetry]\naudit_log = \"none/log\"",
            ["line 4, column 1: audit_log", "no directory"],
        ),
    ] {
        refuses(&format!("{ANSWER}{section}\n"), &expected).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_written_and_listened_at_is_neither_made_nor_taken() -> Result<()> {
    let folder = folder(&format!(
        "{ANSWER}[access_log]\nto = \"access.log\"\n[telemetry]\ntrace_file = \"traces\"\n\
         audit_log = \"audit\"\n[[listener]]\nlisten = \"unix:socket\"\n\
         [[listener]]\nlisten = \"127.0.0.1:0\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n"
    ))?;
    fs::write(folder.path().join("traces"), "of before")?;
    let finished = check(&folder).await?;
    ensure!(finished.code == Some(0), "{}", finished.stderr);
    ensure!(fs::read_to_string(folder.path().join("traces"))? == "of before");
    ensure!(fs::read_dir(folder.path())?.count() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_two_want_is_told_with_the_place_of_the_second() -> Result<()> {
    let one = "[[listener]]\nlisten = \"127.0.0.1:20010\"\n";
    let twice = format!("{ANSWER}{one}{one}");
    refuses(
        &twice,
        &["line 6, column 1: listen", "another listener is at"],
    )
    .await?;
    let admin = format!("{ANSWER}{one}[admin]\nlisten = \"127.0.0.1:20010\"\n");
    refuses(
        &admin,
        &["line 4, column 1: listen", "the admin listener is at"],
    )
    .await?;
    let unix = format!("{ANSWER}[admin]\nlisten = \"unix:/tmp/x\"\n");
    refuses(&unix, &["line 4, column 10", "`unix:/tmp/x`"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_entry_is_told_with_the_place_of_its_key() -> Result<()> {
    let (hello, wagi) = (guest("hello")?, guest("wagi-rust")?);
    let service = format!("[[service]]\nname = \"a\"\nroute = \"/a\"\ncomponent = {hello:?}\n");
    let wrong = |key: &str| format!("{ANSWER}{service}{key}\n");
    for (text, place, said) in [
        (
            wrong("min_idle = 5\nmax_instances = 4"),
            "line 7, column 1: min_idle",
            "keep fewer",
        ),
        (
            wrong("ca = [\"none.pem\"]"),
            "line 7, column 7: \"none.pem\"",
            "none.pem",
        ),
        (
            wrong(
                "client_certificates = [{ host = \"a\", certificate = \"none\", key = \"none\" }]",
            ),
            "line 7, column 24",
            "none",
        ),
        (
            wrong("outgoing.h2c = [\"https://b\"]"),
            "line 7, column 10: h2c",
            "https://b",
        ),
        (
            wrong("proxy = \"ftp://secret\""),
            "line 7, column 1: proxy = …",
            "names no proxy",
        ),
        (
            wrong("min_idle = 101"),
            "line 7, column 1: min_idle",
            "there may be 100",
        ),
        (
            wrong("directories = { \"/d\" = \"none\" }"),
            "line 7, column 17",
            "none",
        ),
        (
            wrong("secrets = { K = { file = \"none\" } }"),
            "line 7, column 13",
            "`K`",
        ),
        (
            wrong("allow_outgoing = [\"a\", \"ftp://b\"]"),
            "line 7, column 24",
            "ftp://b",
        ),
        (
            wrong("forbid_headers = [\"a b\"]"),
            "line 7, column 19",
            "write letters",
        ),
        (
            service.replace(&format!("{hello:?}"), &format!("{wagi:?}")),
            "line 4, column 1: component",
            "write `module",
        ),
        (
            service.replace(&format!("{hello:?}"), "\"headwater.toml\""),
            "line 4, column 1: component",
            "is text",
        ),
        (
            service.clone() + &service.replace("\"a\"", "\"b\""),
            "line 7, column 1: route = \"/a\"",
            "(line 3, column 1: route = \"/a\")",
        ),
        (
            format!("{ANSWER}[server]\nhost_id = \"a b\"\n"),
            "line 4, column 1: host_id",
            "\"a b\"",
        ),
        (
            format!(
                "{ANSWER}[[listener]]\nlisten = \"127.0.0.1:1\"\n[[listener.tls.certificates]]\n\
                 certificate = \"none.pem\"\nkey = \"none.key\"\n"
            ),
            "line 6, column 1: certificate",
            "none.pem",
        ),
        (
            format!("{ANSWER}[[files]]\nroute = \"/f/...\"\ndirectory = \"none\"\n"),
            "line 5, column 1: directory",
            "none",
        ),
        (
            format!("{ANSWER}[[redirect]]\nroute = \"/f\"\nto = \"none\"\n"),
            "line 5, column 1: to",
            "`none`",
        ),
        (
            format!("{ANSWER}headers = {{ x = \"1\", Content-Length = \"1\" }}\n"),
            "line 3, column 22: Content-Length",
            "leave it out",
        ),
        (
            format!("{ANSWER}headers = {{ x = \"1\", X = \"1\" }}\n"),
            "line 3, column",
            "given twice",
        ),
        (
            format!("{ANSWER}status = 204\nbody = \"x\"\n"),
            "line 4, column 1: body",
            "has no body",
        ),
    ] {
        refuses(&text, &[place, said]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired_is_warned_of_by_check_and_at_start() -> Result<()> {
    let folder = folder(&format!(
        "{ANSWER}[[listener]]\nlisten = \"127.0.0.1:0\"\n[[listener.tls.certificates]]\n\
         certificate = \"c.pem\"\nkey = \"c.key\"\n"
    ))?;
    let authority = Authority::new("authority")?;
    authority.certify_until(&folder.path().join("c"), "localhost", 2020)?;
    let file = folder.path().join("headwater.toml");
    let is_it = |line: &str| line.contains("c.pem` has expired (") && line.contains("2020");
    let finished = check(&folder).await?;
    ensure!(finished.code == Some(0), "{}", finished.stderr);
    ensure!(finished.stdout.lines().any(is_it), "{}", finished.stdout);
    let host = Host::headwater().arg("serve").arg(&file).start().await?;
    host.stderr().wait_for("a warning", is_it).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_guest_that_is_served_is_found_good() -> Result<()> {
    let mut guests = Vec::new();
    for entry in fs::read_dir(guests::folder())? {
        let path = entry?.path();
        let is_guest = path
            .extension()
            .is_some_and(|of| of == "wasm" || of == "wat");
        guests.extend(is_guest.then_some(path));
    }
    // Some that have several memories, and one that has none.
    for name in [
        "mw-hello",
        "mw-mw2-streamer",
        "quickjs",
        "python",
        "wagi-wat",
    ] {
        ensure!(guests.contains(&guest(name)?), "{name} is not built");
    }
    for guest in guests {
        let check = Host::headwater().arg("check").arg(&guest);
        let checked = check.run_to_end().await?;
        if checked.code == Some(0) {
            continue;
        }
        let served = Host::serve(&guest).run_to_end().await;
        let served = served.with_context(|| {
            format!(
                "{} is served, and `check` says {}",
                guest.display(),
                checked.stderr
            )
        })?;
        // What is no service by itself, in the same words.
        ensure!(served.stderr == checked.stderr, "{served:?}, {checked:?}");
    }
    Ok(())
}
