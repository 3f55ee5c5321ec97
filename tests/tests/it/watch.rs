//! Promise: with `--watch`, changes are served soon, whatever else happens in the folder and
//! however they were made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::{Client, Host};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Returns a file with only this answer.
fn saying(text: &str) -> String {
    format!("[[answer]]\nroute = \"/\"\nbody = \"{text}\"\n")
}

async fn said(host: &Host) -> Result<String> {
    Ok(Client::new().get(host.url()).await?.text())
}

async fn loaded_again(host: &Host, generation: u64) -> Result<()> {
    let loaded = format!("generation={generation} ");
    host.stderr()
        .wait_for("a line about a reload", |line| line.contains(&loaded))
        .await?;
    Ok(())
}

/// Rewrites a file more often than the quiet time that the watch waits for.
fn never_leave_alone(file: &Path, text: String) -> JoinHandle<Result<()>> {
    let file = file.to_owned();
    tokio::spawn(async move {
        let mut time = tokio::time::interval(Duration::from_millis(50));
        loop {
            time.tick().await;
            fs::write(&file, &text)?;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_written_beside_it_does_not_keep_a_change_from_being_seen() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("headwater.toml");
    fs::write(&file, saying("one"))?;
    let log = never_leave_alone(&folder.path().join("access.log"), "a line\n".to_owned());
    let host = Host::serve(&file).arg("--watch").start().await?;
    fs::write(&file, saying("two"))?;
    loaded_again(&host, 2).await?;
    ensure!(said(&host).await? == "two");
    ensure!(!log.is_finished());
    log.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_never_left_alone_is_read_all_the_same() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("headwater.toml");
    fs::write(&file, saying("one"))?;
    let host = Host::serve(&file).arg("--watch").start().await?;
    // Replaced atomically, so that it can be read at any time.
    let (new, at) = (folder.path().join("new"), file.clone());
    let busy: JoinHandle<Result<()>> = tokio::spawn(async move {
        let mut time = tokio::time::interval(Duration::from_millis(50));
        loop {
            time.tick().await;
            fs::write(&new, saying("two"))?;
            fs::rename(&new, &at)?;
        }
    });
    loaded_again(&host, 2).await?;
    ensure!(said(&host).await? == "two");
    ensure!(!busy.is_finished());
    busy.abort();
    Ok(())
}

/// Replaces files as Kubernetes does for mounted settings, and deployments for releases.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_the_way_to_a_file_that_is_put_in_another_s_place_is_a_change() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    for version in ["v1", "v2"] {
        fs::create_dir(at(version))?;
        fs::write(at(version).join("headwater.toml"), saying(version))?;
    }
    symlink("v1", at("..data"))?;
    symlink("..data/headwater.toml", at("headwater.toml"))?;
    let host = Host::serve(at("headwater.toml"))
        .arg("--watch")
        .start()
        .await?;
    ensure!(said(&host).await? == "v1");

    symlink("v2", at("..new"))?;
    fs::rename(at("..new"), at("..data"))?;
    loaded_again(&host, 2).await?;
    ensure!(said(&host).await? == "v2");

    // The target of the link.
    fs::write(at("v2").join("headwater.toml"), saying("v3"))?;
    loaded_again(&host, 3).await?;
    ensure!(said(&host).await? == "v3");
    Ok(())
}
