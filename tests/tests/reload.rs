//! Promise: what is served is replaced under load, and no request is lost by it; what is broken
//! replaces nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::steady::{self, Until};
use headwater_tests::{Client, Host};
use tempfile::TempDir;

const OLD: &str = "Hello from Headwater!";
const NEW: &str = "try /echo";

/// A service whose guest can be another one.
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

    /// Puts a guest in the place of what is there, as a compiler does.
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
async fn nothing_is_lost_of_100_000_requests_while_versions_replace_each_other() -> Result<()> {
    let site = Site::new()?;
    let host = Host::serve(site.file()).start().await?;
    let url = host.url().to_owned();
    let load = tokio::spawn(async move {
        steady::ask(&url, "/", 16, Until::Requests(6_250), |_, body| {
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
            .wait_for("a line that says that it was loaded again", |line| {
                line.contains(&loaded)
            })
            .await?;
        // The new version answers, from the moment on that it is said to be there.
        let expected = if generation % 2 == 1 { OLD } else { NEW };
        let answer = Client::new().get(host.url()).await?;
        ensure!(answer.text().contains(expected), "{}", answer.text());
    }
    let done = load.await??;
    ensure!(done.answered == 100_000, "{done:?}");
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
            line.contains("not loaded again") && line.contains("it.wasm")
        })
        .await?;
    ensure!(Client::new().get(host.url()).await?.text().contains(OLD));

    site.guest("stream")?;
    host.stderr()
        .wait_for("a line that says that it was loaded again", |line| {
            line.contains("generation=2")
        })
        .await?;
    ensure!(Client::new().get(host.url()).await?.text().contains(NEW));
    ensure!(host.stop().await?.code() == Some(0));
    Ok(())
}
