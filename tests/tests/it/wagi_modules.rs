//! Promise: `headwater wagi` treats a modules.toml like `wagi`, and reports that.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::{Answer, Client, Host, Modules, client};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn get(host: &Host, path: &str, name: &str) -> Result<Answer> {
    let request = Request::get(format!("{}{path}", host.url())).header("host", name);
    Client::new().send(request.body(client::full(""))?).await
}

fn has(text: &str, line: &str) -> Result<()> {
    ensure!(
        text.lines().any(|other| other == line),
        "no {line:?} in:\n{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_route_that_fits_answers_and_hosts_are_looked_at() -> Result<()> {
    let modules = Modules::new()?
        .guest(
            "/a/...",
            "wagi-rust",
            "host = \"one.example\"\nenvironment = { WHO = \"one\" }",
        )?
        .guest(
            "/a/...",
            "wagi-rust",
            "host = [\"*.two.example\"]\nenvironment = { WHO = \"two\" }",
        )?
        .guest("/a/...", "wagi-rust", "environment = { WHO = \"rest\" }")?
        .guest("/a/b", "wagi-rust", "environment = { WHO = \"never\" }")?;
    let host = Host::wagi(modules.write()?).start().await?;
    for (name, path, who) in [
        ("one.example", "/a/b", "one"),
        ("ONE.example:99", "/a", "one"),
        ("x.two.example", "/a/b", "two"),
        ("two.example", "/a/b", "rest"),
    ] {
        has(&get(&host, path, name).await?.text(), &format!("WHO={who}"))?;
    }
    Ok(())
}

/// `_routes` that prints nothing, with another entrypoint.
const BROKEN: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start")) (func (export "_routes")))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_whose_routes_fail_fails_alone() -> Result<()> {
    let modules = Modules::new()?
        .wat("/broken/...", BROKEN, "")?
        .guest("/...", "wagi-rust", "")?;
    let path = modules.write()?;
    let host = Host::wagi(&path).start().await?;
    // No other module answers in its place.
    ensure!(get(&host, "/broken/x", "h").await?.status == 500);
    ensure!(get(&host, "/other", "h").await?.status == 200);
    let problem = |line: &str| line.contains("/broken/...") && line.contains("printed nothing");
    host.stderr().wait_for("the problem", problem).await?;

    // WAGI did not start.
    let ended = Host::wagi(&path)
        .args(["--compat", "strict"])
        .run_to_end()
        .await?;
    ensure!(
        ended.code == Some(1) && ended.stderr.contains("printed nothing"),
        "{ended:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_come_from_the_file_and_over_it_from_the_command_line() -> Result<()> {
    let modules = Modules::new()?.guest(
        "/...",
        "wagi-rust",
        "environment = { A = \"file\", B = \"file\", REQUEST_METHOD = \"file\" }",
    )?;
    let env_file = modules.folder().join("env");
    fs::write(&env_file, "B=env-file\nC='env file'\nD=env-file\n")?;
    let host = Host::wagi(modules.write()?)
        .arg("--env-file")
        .arg(&env_file)
        .args(["-e", "D=flag", "E=\"two words\"", "-e", "F="])
        .env("SECRET_OF_THE_HOST", "leaked")
        .start()
        .await?;
    let text = get(&host, "/", "h").await?.text();
    for line in [
        "A=file",
        "B=env-file",
        "C=env file",
        "D=flag",
        "E=two words",
        "F=",
        "REQUEST_METHOD=GET",
    ] {
        has(&text, line)?;
    }
    ensure!(!text.contains("leaked"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_module_follows_wagi_as_closely_as_it_says() -> Result<()> {
    let modules = Modules::new()?
        .guest("/default/...", "wagi-rust", "")?
        .guest("/strict/...", "wagi-rust", "compat = \"strict\"")?
        .guest("/old/...", "wagi-rust", "compat = \"0.2\"")?
        .guest("/auth/...", "wagi-rust", "pass_authorization = true")?;
    let host = Host::wagi(modules.write()?)
        .args(["--default-host", "fallback:81"])
        .start()
        .await?;
    let ask = async |path: &str| -> Result<String> {
        let request = Request::post(format!("{}{path}", host.url()))
            .header("host", "example.com")
            .header("content-type", "text/x-test")
            .header("x-twice", "one")
            .header("x-twice", "two")
            .header("proxy", "http://attacker.example")
            .header("authorization", "Basic eA==");
        let answer = Client::new()
            .send(request.body(client::full("four"))?)
            .await?;
        Ok(answer.text())
    };
    let text = ask("/default/a%20b").await?;
    for line in [
        "CONTENT_TYPE=text/x-test",
        "HTTP_X_TWICE=one, two",
        "SERVER_NAME=example.com",
        "SERVER_PORT=80",
    ] {
        has(&text, line)?;
    }
    for absent in ["HTTP_PROXY", "HTTP_AUTHORIZATION", "X_RELATIVE_PATH"] {
        ensure!(!text.contains(absent), "{text}");
    }
    let text = ask("/strict/a").await?;
    for line in [
        "CONTENT_TYPE=",
        "HTTP_X_TWICE=two",
        "HTTP_PROXY=http://attacker.example",
        "SERVER_NAME=example.com",
        "SERVER_PORT=81",
        "X_FULL_URL=http://example.com:81/strict/a",
    ] {
        has(&text, line)?;
    }
    ensure!(
        !text.contains("REQUEST_URI") && !text.contains("HTTP_AUTHORIZATION"),
        "{text}"
    );
    has(&ask("/old/a/b.txt").await?, "X_RELATIVE_PATH=a/b.txt")?;
    has(&ask("/auth/").await?, "HTTP_AUTHORIZATION=Basic eA==")
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_with_the_flags_of_wagi() -> Result<()> {
    let modules = Modules::new()?.guest("/...", "wagi-rust", "")?;
    let authority = Authority::new("authority")?;
    let stem = modules.folder().join("server");
    authority.certify(&stem, "localhost")?;
    let host = Host::wagi(modules.write()?)
        .arg("--tls-cert")
        .arg(stem.with_extension("pem"))
        .env(
            "WAGI_TLS_KEY",
            &stem.with_extension("key").display().to_string(),
        )
        .start()
        .await?;
    let address = host.url().strip_prefix("https://").context("no https")?;

    let mut stream = authority.connect(address, "localhost").await?;
    stream
        .write_all(b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    for line in [
        "HTTPS=on",
        "SERVER_PORT=443",
        "X_FULL_URL=https://localhost:443/x",
    ] {
        has(&text, line)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_may_be_read_only() -> Result<()> {
    let modules = Modules::new()?;
    let site = modules.folder().join("site");
    fs::create_dir(&site)?;
    fs::write(site.join("granted.txt"), "")?;
    let more = format!("volumes = {{ \"/\" = {{ path = {site:?}, read_only = true }} }}");
    let modules = modules.guest("/", "wagi-rust", &more)?;
    let host = Host::wagi(modules.write()?).start().await?;
    let answer = Client::new().get(&format!("{}/?files", host.url())).await?;
    ensure!(answer.text() == "granted.txt\n", "{}", answer.text());
    let told = Host::headwater()
        .args(["check"])
        .arg(modules.write()?)
        .run_to_end()
        .await?;
    ensure!(told.stdout.contains("read only"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_is_told_at_start() -> Result<()> {
    let modules = Modules::new()?.guest("/", "wagi-rust", "enviroment = { A = \"b\" }")?;
    let host = Host::wagi(modules.write()?).start().await?;
    let told = |line: &str| line.contains("line 4") && line.contains("did you mean `environment`?");
    host.stderr().wait_for("the unknown key", told).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_told_with_the_place_and_the_remedy() -> Result<()> {
    let modules = Modules::new()?;
    fs::write(modules.folder().join("here.wasm"), "")?;
    let path = modules.folder().join("modules.toml");
    for (text, expected) in [
        (
            "[[module]]\nroute = 1\nmodule = \"m\"\n",
            ["line 2", "route = \"/path"],
        ),
        (
            "[[module]]\nroute = \"/x\"\nmodule = \"bindle:a/1\"\n",
            ["`/x`", "oras push"],
        ),
        (
            "[[module]]\nroute = \"/x\"\nmodule = \"here.wasm\"\n",
            ["here.wasm", "working directory"],
        ),
        (
            "[[module]]\nroute = \"/x\"\nmodule = \"gone.wasm\"\n",
            ["gone.wasm", "check the path"],
        ),
        (
            "[[module]]\nroute = \"/x\"\nmodule = \"m\"\nhost = \"a b\"\n",
            ["`a b`", "example.com"],
        ),
    ] {
        fs::write(&path, text)?;
        let ended = Host::wagi(&path).run_to_end().await?;
        ensure!(ended.code == Some(1), "{text}: {ended:?}");
        for words in expected {
            ensure!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
    }
    let ended = Host::headwater().args(["wagi", "-b", "a/1.0", "--bindle-url", "http://x/v1"]);
    let ended = ended.run_to_end().await?;
    ensure!(
        ended.code == Some(2) && ended.stderr.contains("modules.toml"),
        "{ended:?}"
    );
    let ended = Host::headwater().args(["wagi"]).run_to_end().await?;
    ensure!(
        ended.code == Some(2) && ended.stderr.contains("-c MODULES_TOML"),
        "{ended:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_with_a_password_is_refused_and_never_shown() -> Result<()> {
    let modules = Modules::new()?;
    let path = modules.folder().join("modules.toml");
    for reference in [
        "oci://user:hunter2@h.example/a:1",
        "oci:u:hunter2@h.example/a:1",
    ] {
        // The second is not TOML.
        for module in [format!("{reference:?}"), reference.to_owned()] {
            fs::write(
                &path,
                format!("[[module]]\nroute = \"/x\"\nmodule = {module}\n"),
            )?;
            let served = Host::wagi(&path).run_to_end().await?;
            let checked = Host::headwater().arg("check").arg(&path);
            let json = Host::headwater()
                .args(["check", "--format=json"])
                .arg(&path);
            for ended in [
                served,
                checked.run_to_end().await?,
                json.run_to_end().await?,
            ] {
                let told = format!("{}{}", ended.stdout, ended.stderr);
                ensure!(ended.code == Some(1) && !told.contains("hunter2"), "{told}");
                let is_toml = module.starts_with('"');
                ensure!(told.contains("docker login") == is_toml, "{told}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_errors_of_file_modules_and_flags_are_told_at_once() -> Result<()> {
    let text = "[[module]]\nroute = \"/a\"\nmodule = \"gone.wasm\"\n\
        host = [\"a b\", \"c.example\", \"d e\"]\nallowed_hosts = [\"x\", \"http://y\", \"z\"]\n\
        [[module]]\nroute = \"/b\"\nmodule = \"m\"\ncompat = \"0.1\"\n";
    let modules = Modules::new()?;
    let path = modules.folder().join("modules.toml");
    fs::write(&path, text)?;
    let flags = ["--trace-file=/none/t", "--audit-log-keep=1"];
    let served = Host::wagi(&path)
        .args(flags)
        .env("HEADWATER_CA", "/none/ca");
    let checked = Host::headwater().arg("check").arg(&path).args(flags);
    let checked = checked.env("HEADWATER_CA", "/none/ca");
    for ended in [served.run_to_end().await?, checked.run_to_end().await?] {
        ensure!(ended.code == Some(1), "{ended:?}");
        for words in [
            "cannot read `gone.wasm`",
            "`a b` is not a host",
            "`d e` is not a host",
            "\"x\", which is not a URL",
            "\"z\", which is not a URL",
            "unknown value `0.1`",
            "--trace-file: `/none/t` cannot be written: there is no directory `/none`: create it",
            "warning: --audit-log-keep: `--audit-log-keep` has no effect",
            "--ca, or HEADWATER_CA: `/none/ca` cannot be used for TLS",
        ] {
            let found = ended.stderr.matches(words).count();
            ensure!(found == 1, "{found} times {words}: {}", ended.stderr);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_without_effect_is_told_at_start() -> Result<()> {
    let modules = Modules::new()?.guest("/", "wagi-wat", "")?;
    let host = Host::wagi(modules.write()?).arg("--trace-file-keep=1");
    let host = host.start().await?;
    let told = |line: &str| line.contains("`--trace-file-keep` has no effect");
    host.stderr().wait_for("the flag", told).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_explains_a_file() -> Result<()> {
    let modules = Modules::new()?
        .guest("/dyn/...", "wagi-routes", "bindle_server = \"http://x\"")?
        .guest(
            "/dyn/late",
            "wagi-rust",
            "allowed_hosts = [\"https://x\"]\nenv = {}",
        )?
        .guest(
            "no-slash",
            "wagi-rust",
            "environment = { A = \"1\", REMOTE_USER = \"2\" }",
        )?;
    let told = Host::headwater()
        .arg("check")
        .arg(modules.write()?)
        .args(["-e", "G=1"])
        .run_to_end()
        .await?;
    ensure!(told.code == Some(0), "{told:?}");
    for words in [
        "1  /healthz",
        "2  /dyn/main  wagi-routes (_start, named by `_routes`)",
        "3  /dyn/wildcard/...  wagi-routes (on_wildcard",
        "4  /dyn/exact",
        "5  /dyn/...",
        "wasi_snapshot_preview1: environ_get, environ_sizes_get, fd_write",
        "A, G (command line), REMOTE_USER",
        "`bindle_server`: there are no",
        "line 9: `env` has no effect: write `environment`",
        "`/dyn/late` (6): route 5 comes first and answers all of these requests",
        "`allowed_hosts`: the module makes no outgoing requests",
        "`no-slash`: no path matches it",
        "`environment.REMOTE_USER`: each request sets it",
    ] {
        ensure!(told.stdout.contains(words), "{words}:\n{}", told.stdout);
    }
    Ok(())
}
