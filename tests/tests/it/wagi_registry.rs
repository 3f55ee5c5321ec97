//! Promise: `oci:` modules are fetched once, by digest, and again when their tag moves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};
use headwater_tests::registry::{Registry, WAGI_LAYER};
use headwater_tests::{Client, Host, Modules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Returns a module that answers with this word.
fn module(word: &str) -> Vec<u8> {
    let length = 26 + word.len();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "content-type: text/plain\n\n{word}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.const {length}))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
    .into_bytes()
}

/// Returns the answer of the module of a modules.toml, fetched with these flags.
async fn answer(modules: &Modules, cache: &Path, flags: &[&str]) -> Result<(String, String)> {
    let mut host = Host::wagi(modules.write()?)
        .arg("--module-cache")
        .arg(cache)
        .args(flags)
        .start()
        .await?;
    let answer = Client::new().get(host.url()).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    host.stop().await?;
    Ok((answer.text(), host.stderr().text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_fetched_once_and_again_when_its_tag_moves() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    let (one, two) = (module("one"), module("two"));
    registry
        .push("example/hello", "dev", &one, WAGI_LAYER)
        .await?;
    let reference = format!("oci://{}/example/hello:dev", registry.address());
    let modules = Modules::new()?.named("/", &reference, "");
    let cache = modules.folder().join("cache");

    let (text, log) = answer(&modules, &cache, &[]).await?;
    ensure!(
        text == "one" && log.contains("module fetched"),
        "{text} {log}"
    );
    let (text, log) = answer(&modules, &cache, &[]).await?;
    ensure!(
        text == "one" && log.contains("module cached"),
        "{text} {log}"
    );

    // The tag moves: a refresh sees it; without one the cached module stays, as in WAGI.
    registry
        .push("example/hello", "dev", &two, "application/wasm")
        .await?;
    let (text, _) = answer(&modules, &cache, &["--module-refresh", "never"]).await?;
    ensure!(text == "one", "{text}");
    let (text, log) = answer(&modules, &cache, &[]).await?;
    ensure!(
        text == "two" && log.contains("module fetched"),
        "{text} {log}"
    );

    // Without the registry, the cached module is used.
    drop(registry);
    let (text, log) = answer(&modules, &cache, &[]).await?;
    ensure!(
        text == "two" && log.contains("using the module in the cache"),
        "{text} {log}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_by_digest_stays_and_is_never_asked_for_again() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    let digest = registry
        .push("hello", "1", &module("pinned"), WAGI_LAYER)
        .await?;
    registry
        .push("hello", "1", &module("moved"), WAGI_LAYER)
        .await?;
    let reference = format!("oci://{}/hello@{digest}", registry.address());
    let modules = Modules::new()?.named("/", &reference, "");
    let cache = modules.folder().join("cache");
    let (text, _) = answer(&modules, &cache, &[]).await?;
    ensure!(text == "pinned", "{text}");
    drop(registry);
    let (text, log) = answer(&modules, &cache, &[]).await?;
    ensure!(text == "pinned" && !log.contains("WARN"), "{text} {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_not_whole_or_no_module_is_told() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    let bytes = module("broken");
    registry.push("broken", "1", &bytes, WAGI_LAYER).await?;
    registry.corrupt(&bytes)?;
    registry.push("other", "1", b"text", "text/plain").await?;
    for (name, told) in [
        (
            "gone:1",
            vec!["gone/manifests/1", "check the name and the tag"],
        ),
        ("broken:1", vec!["other bytes"]),
        ("other:1", vec!["`text/plain`", WAGI_LAYER]),
    ] {
        let reference = format!("oci://{}/{name}", registry.address());
        let modules = Modules::new()?.named("/", &reference, "");
        let ended = Host::wagi(modules.write()?).run_to_end().await?;
        ensure!(ended.code == Some(1), "{name}: {:?}", ended.code);
        for words in told {
            ensure!(
                ended.stderr.contains(words),
                "{name}: {words}: {}",
                ended.stderr
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logged_in_is_known_by_the_file_and_by_credential_helpers() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    registry
        .push("hello", "1", &module("known"), WAGI_LAYER)
        .await?;
    let registry = registry.behind_a_password().await?;
    let address = registry.address();
    let modules = Modules::new()?.named("/", &format!("oci://{address}/hello:1"), "");
    let at = |name: &str| modules.folder().join(name);
    let helper = |name: &str, does: &str| -> Result<()> {
        let path = at(&format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\nread -r server\n{does}\n"))?;
        Ok(fs::set_permissions(
            path,
            fs::Permissions::from_mode(0o755),
        )?)
    };
    // Each answers only for its registry.
    helper(
        "one",
        &format!(
            "[ \"$1 $server\" = \"get {address}\" ] && echo '{{\"Username\":\"user\",\"Secret\":\"secret\"}}'"
        ),
    )?;
    helper(
        "none",
        "echo credentials not found in native keychain; exit 1",
    )?;
    helper("broken", "echo it is locked >&2; exit 1")?;
    let path = format!(
        "{}:{}",
        modules.folder().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let host = |config: &str| -> Result<_> {
        fs::write(at("config.json"), config)?;
        let folder = modules.folder().display().to_string();
        // Each run has a new cache.
        let cache = tempfile::tempdir_in(modules.folder())?.keep();
        Ok(Host::wagi(modules.write()?)
            .arg("--module-cache")
            .arg(cache)
            .env("DOCKER_CONFIG", &folder)
            .env("PATH", &path))
    };
    for config in [
        // `user:secret`
        format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#),
        format!(r#"{{"credHelpers": {{"{address}": "one"}}, "credsStore": "broken"}}"#),
        r#"{"credsStore": "one"}"#.to_owned(),
    ] {
        let mut host = host(&config)?.start().await?;
        ensure!(
            Client::new().get(host.url()).await?.text() == "known",
            "{config}"
        );
        host.stop().await?;
    }
    for (config, told, warns) in [
        ("{}", "without credentials", false),
        (r#"{"credsStore": "none"}"#, "without credentials", false),
        (
            r#"{"credsStore": "broken"}"#,
            "cannot be used: the credential helper failed: it is locked): `docker login",
            true,
        ),
        (
            r#"{"credsStore": "not-there"}"#,
            "without credentials (those of `docker login` cannot be used: ",
            true,
        ),
        // `user:wrong`
        (
            &format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjp3cm9uZw=="}}}}}}"#),
            "with your credentials",
            false,
        ),
    ] {
        let ended = host(config)?.run_to_end().await?;
        let log = &ended.stderr;
        ensure!(ended.code == Some(1), "{config}: {:?}", ended.code);
        ensure!(log.contains(told) && log.contains("docker login"), "{log}");
        ensure!(log.contains("credentials cannot be used") == warns, "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_denied_is_told_why_their_credentials_could_not_be_used() -> Result<()> {
    let registry = TcpListener::bind("127.0.0.1:0").await?;
    let address = registry.local_addr()?;
    let denies = tokio::spawn(async move {
        loop {
            let (mut client, _) = registry.accept().await?;
            let denied = b"HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            ensure!(client.read(&mut [0; 4096]).await? > 0);
            client.write_all(denied).await?;
        }
        #[allow(unreachable_code, reason = "its type")]
        anyhow::Ok(())
    });
    let modules = Modules::new()?.named("/", &format!("oci://{address}/hello:1"), "");
    let config = format!(r#"{{"auths": {{"{address}": {{"identitytoken": "hunter2"}}}}}}"#);
    fs::write(modules.folder().join("config.json"), config)?;
    let folder = modules.folder().display().to_string();
    let host = Host::wagi(modules.write()?).env("DOCKER_CONFIG", &folder);
    let ended = host.run_to_end().await?;
    let log = &ended.stderr;
    let told = "without credentials (those of `docker login` cannot be used: identity tokens are not supported)";
    ensure!(ended.code == Some(1) && log.contains(told), "{log}");
    ensure!(!log.contains("hunter2"), "{log}");
    denies.abort();
    Ok(())
}
