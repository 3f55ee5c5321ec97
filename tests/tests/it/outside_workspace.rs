//! Promise: a foreign crate that depends on the library compiles, and serves by two hosts at once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Client, within};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::examples::Example;

/// A generous timeout: only the crate itself and Headwater's own are compiled.
const BUILD: Duration = Duration::from_secs(600);

/// Serves by two hosts: the first until it reads a line, the second until its standard input ends.
const PROGRAM: &str = r#"
use headwater::{Host, Service};
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error>;

async fn host(name: &str) -> Result<Host, Error> {
    let guest = std::env::args_os().nth(1).ok_or("name a guest")?;
    let host = Host::builder()
        .service(Service::file(name, guest)?)
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    println!("Listening on {}", host.addresses()[0]);
    Ok(host)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (first, second) = (host("first").await?, host("second").await?);
    let ends = [CancellationToken::new(), CancellationToken::new()];
    let [end_first, end_second] = ends.clone();
    std::thread::spawn(move || {
        for end in ends {
            let _ = std::io::stdin().read_line(&mut String::new());
            end.cancel();
        }
    });
    tokio::join!(
        async { println!("first: {:?}", first.run(end_first).await) },
        async { println!("second: {:?}", second.run(end_second).await) },
    );
    Ok(())
}
"#;

/// The workspace's other requirements of crates that the library uses. Without them those would be
/// compiled again, and wasmtime with them: for other features, or because only macros use them
/// here.
const SAME_FEATURES: &str = r#"
id-arena = "2"
opentelemetry_sdk = { version = "0.33", default-features = false, features = ["testing"] }
regex-syntax = "0.8"
semver = "1"
thiserror = "1"
tokio = { version = "1", features = ["macros", "rt-multi-thread", "test-util"] }
tokio-util = "0.7"
tonic = { version = "0.14", default-features = false, features = ["router", "server"] }
unicode-ident = "1"
wasmparser = { version = "0.254", default-features = false, features = ["hash-collections"] }
wit-bindgen-core = "0.60"
wit-component = "0.254"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_outside_the_workspace_serves_by_two_hosts_in_one_process() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace")?;
    let folder = tempfile::tempdir()?;
    write_crate(root, folder.path())?;
    let program = build(folder.path()).await?;

    let mut run = Command::new(program);
    run.arg(guest("hello")?).stdin(Stdio::piped());
    let mut example = Example::of(run).await?;
    let second = line(&mut example).await?;
    let second = second.strip_prefix("Listening on ").context("an address")?;
    for url in [&*example.url, second] {
        let answer = Client::new().get(url).await?;
        ensure!(answer.text() == "Hello from Headwater!\n", "{answer:?}");
    }

    let mut stdin = example.child.stdin.take().context("its input")?;
    stdin.write_all(b"\n").await?;
    ensure!(line(&mut example).await? == "first: Drained");
    let gone = Client::new().get(&example.url).await;
    ensure!(gone.is_err(), "{gone:?}");
    let answer = Client::new().get(second).await?;
    ensure!(answer.status == 200, "{answer:?}");

    drop(stdin);
    ensure!(line(&mut example).await? == "second: Drained");
    ensure!(within("its end", example.child.wait()).await??.success());
    Ok(())
}

async fn line(example: &mut Example) -> Result<String> {
    let line = within("a line", example.lines.next_line()).await??;
    line.context("it has ended")
}

/// Versions, profiles and features are the workspace's, to reuse what it has compiled.
fn write_crate(root: &Path, folder: &Path) -> Result<()> {
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let xtask = fs::read_to_string(root.join("xtask/Cargo.toml"))?;
    let profiles = between(&workspace, "[profile.dev]", None)?;
    let for_macros = between(&xtask, "[build-dependencies]", Some("[dev-dependencies]"))?;
    let library = root.join("crates/headwater");
    let manifest = format!(
        "[package]\nname = \"outside\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         headwater = {{ path = {library:?} }}{SAME_FEATURES}\n{for_macros}\n{profiles}",
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::create_dir(folder.join("src"))?;
    fs::write(folder.join("src/main.rs"), PROGRAM)?;
    Ok(())
}

/// Returns the part of a manifest from one heading to another.
fn between<'a>(text: &'a str, from: &str, to: Option<&str>) -> Result<&'a str> {
    let from = text.find(from).context(from.to_owned())?;
    let to = to.map_or(Some(text.len()), |to| text.find(to));
    text.get(from..to.context("the next heading")?)
        .context("headings in another order")
}

/// Builds it in this test's target directory, and returns the program.
async fn build(folder: &Path) -> Result<PathBuf> {
    let this = env::current_exe()?;
    // `target/PROFILE/deps/it-…`
    let profile = this.ancestors().nth(2).context("the profile's folder")?;
    let target = profile.parent().context("the target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--offline"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .kill_on_drop(true);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        // Variables that Cargo sets for a test; they would make build scripts run again.
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    let built = tokio::time::timeout(BUILD, build.output()).await??;
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "{said}");
    Ok(profile.join("outside"))
}
