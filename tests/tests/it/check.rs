//! Promise: what `headwater check` accepts can be served, and every problem is reported with its
//! place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use headwater_tests::certificates::Authority;
use headwater_tests::crafted::Proxy;
use headwater_tests::guests::{self, binary, guest};
use headwater_tests::refusal::{FAILURE, USAGE, refused};
use headwater_tests::settings::Settings;
use headwater_tests::{Finished, Host, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const ANSWER: &str = "[[answer]]\nroute = \"/\"\n";

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

/// Checks that a file is refused, with its name and these words, and that nothing is created or
/// changed.
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
            "does not name a proxy",
        ),
        (
            wrong("min_idle = 101"),
            "line 7, column 1: min_idle",
            "only 100 instances are allowed",
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
            "leave the field out",
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
    let warnings = json_of(&file, &[], 0).await?["warnings"].take();
    let warning = &warnings[0];
    ensure!(
        warning["kind"] == "certificate"
            && warning["entry"] == "`[[listener]]`"
            && warning["line"] == 6
            && warning["text"] == "certificate = \"c.pem\"",
        "{warnings:#}"
    );
    let host = Host::headwater().arg("serve").arg(&file).start().await?;
    let line = host.stderr().wait_for("a warning", is_it).await?;
    ensure!(
        line.contains("headwater::config") && line.contains("kind=\"certificate\""),
        "{line}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_flags_and_variables_is_told_beside_what_is_wrong_with_the_file()
-> Result<()> {
    let folder = folder(&format!("{ANSWER}[telemetry]\nlog = \"debg\"\n"))?;
    let file = folder.path().join("headwater.toml");
    for (flags, variable, value, expected) in [
        (
            &["--max-queue", "0", "--dir=x"][..],
            "HEADWATER_TIMEOUT",
            "soon",
            &[
                "'0' for '--max-queue",
                "'soon' for 'HEADWATER_TIMEOUT",
                "--dir is for a single guest",
            ][..],
        ),
        // It requires another variable, and the file is checked without any of them.
        (&[], "HEADWATER_TLS_CERT", "c.pem", &["--tls-key"]),
    ] {
        let check = Host::headwater().arg("check").args(flags.to_vec());
        let check = check.arg(&file).env(variable, value);
        let finished = check.run_to_end().await?;
        ensure!(finished.code == Some(FAILURE), "{finished:?}");
        let told: Vec<_> = finished.stderr.split("error: ").skip(1).collect();
        for words in expected.iter().chain(&["'debg' is not a level"]) {
            let is_told = told.iter().any(|told| told.contains(words));
            ensure!(is_told, "{words}: {}", finished.stderr);
        }
        ensure!(told.len() == expected.len() + 1, "{}", finished.stderr);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_cache_that_cannot_be_used_is_warned_of_as_at_start() -> Result<()> {
    let hello = guest("hello")?;
    let folder = folder(ANSWER)?;
    let file = folder.path().join("headwater.toml");
    let cache = file.display().to_string();
    let told = format!("`{cache}` cannot be trusted: it is not a directory");
    let check = Host::headwater().arg("check").arg(&hello);
    let finished = check.args(["--code-cache", &cache]).run_to_end().await?;
    ensure!(finished.code == Some(0), "{finished:?}");
    let is_it = |line: &str| line.starts_with("WARNING: ") && line.contains(&told);
    ensure!(finished.stdout.lines().any(is_it), "{}", finished.stdout);
    let document = json_of(&hello, &["--code-cache", &cache], 0).await?;
    ensure!(
        document["warnings"][0]["kind"] == "code_cache",
        "{document:#}"
    );
    let document = json_of(&file, &["--code-cache", "off"], 0).await?;
    ensure!(document["warnings"] == json!([]), "{document:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_listened_at_exported_or_mounted_is_told() -> Result<()> {
    refuses(
        &format!("{ANSWER}[[listener]]\nlisten = \"unix:none/socket\"\n"),
        &["line 4, column 1: listen", "there is no directory"],
    )
    .await?;
    refuses(
        &format!("{ANSWER}[[listener]]\nlisten = \"unix:headwater.toml\"\n"),
        &["line 4, column 1: listen", "a file that is not a socket"],
    )
    .await?;
    let hello = guest("hello")?;
    let service = format!("[[service]]\nname = \"a\"\nroute = \"/a\"\ncomponent = {hello:?}\n");
    refuses(
        &format!("{service}directories = {{ \"/d\" = \"folder\", \"/d/\" = \".\" }}\n"),
        &["line 5, column", "are both at `/d/` in the guest"],
    )
    .await?;
    for command in ["check", "serve"] {
        let twice = Host::headwater().arg(command).arg(&hello);
        let twice = twice.args(["--dir", "/tmp::/d", "--dir", "/::/d"]);
        let expected = ["--dir: ", "are both at `/d` in the guest"];
        refused(&twice.run_to_end().await?, USAGE, &expected)?;
    }
    for endpoint in ["http://[", "no url"] {
        let mut told = Vec::new();
        for command in ["check", "serve"] {
            let host = Host::headwater().arg(command).arg(&hello);
            let host = host.args(["--listen", "127.0.0.1:0"]);
            let host = host.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
            told.push(host.run_to_end().await?.stderr);
        }
        ensure!(told[0].contains("OTEL_EXPORTER_OTLP_"), "{told:?}");
        ensure!(told[0] == told[1], "{told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_of_what_is_not_written_to_a_file_is_warned_of() -> Result<()> {
    let folder = folder(&format!("{ANSWER}[access_log]\nrotate = \"daily\"\n"))?;
    let finished = check(&folder).await?;
    let told = "`rotate` has no effect: the access log is not written to a file";
    ensure!(finished.code == Some(0), "{finished:?}");
    ensure!(
        finished.stdout.contains("line 4, column 1") && finished.stdout.contains(told),
        "{}",
        finished.stdout
    );
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
    // Guests with several memories, and one without.
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
        // Guests that are not services get the same words.
        ensure!(served.stderr == checked.stderr, "{served:?}, {checked:?}");
    }
    Ok(())
}

/// Returns mistakes of every kind, each in a service or section of its own.
fn mistakes() -> Result<(String, Vec<(usize, &'static str)>)> {
    let (hello, wagi) = (guest("hello")?, guest("wagi-rust")?);
    let text = format!(
        r#"[servr]
[[service]]
name = "a"
route = "/a"
component = "gone.wasm"
timeout = "5 parsecs"
allow_outgoing = ["a.example", "ftp://b", "http://x y"]
allow-headers = []
[[service]]
name = "b"
route = ["/b", "/a", "/c..."]
component = {hello:?}
secrets = {{ K = {{ file = "none" }} }}
ca = ["none.pem"]
[[service]]
name = "c"
route = "/c"
component = {wagi:?}
[[service]]
name = "d"
route = "/d"
module = "rocket.wat"
[[service]]
name = "e"
component = {hello:?}
[[redirect]]
route = "/r"
to = "nowhere"
[[listener]]
listen = "127.0.0.1:20010"
[[listener]]
listen = "127.0.0.1:20010"
[telemetry]
log = "debg"
trace_file = "none/traces"
"#
    );
    let expected = vec![
        (1, "did you mean `server`?"),
        (5, "gone.wasm"),
        (6, "5 parsecs"),
        (7, "ftp://b"),
        (7, "http://x y"),
        (8, "did you mean `allow_headers`?"),
        (11, "the route \"/a\" is given twice"),
        (11, "write \"/c/...\""),
        (13, "the secret `K`"),
        (14, "none.pem"),
        (18, "write `module"),
        (22, "launch_rockets"),
        (23, "missing field `route`"),
        (28, "`nowhere`"),
        (32, "another listener is at"),
        (34, "'debg' is not a level"),
        (35, "there is no directory"),
    ];
    Ok((text, expected))
}

const ROCKET: &str = "(module (import \"env\" \"launch_rockets\" (func)) (memory (export \"memory\") 1) \
                      (func (export \"_start\")))";

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_told_at_once_each_with_its_place() -> Result<()> {
    let (text, expected) = mistakes()?;
    let folder = folder(&text)?;
    fs::write(folder.path().join("rocket.wat"), ROCKET)?;
    let finished = check(&folder).await?;
    ensure!(finished.code == Some(FAILURE), "{finished:?}");
    let told: Vec<_> = finished.stderr.split("error: ").skip(1).collect();
    for (at, (line, words)) in expected.iter().enumerate() {
        let told = told.get(at).with_context(|| finished.stderr.clone())?;
        let place = format!("line {line}, column ");
        ensure!(
            told.contains(&place) && told.contains(words),
            "{at}: {told}"
        );
        ensure!(told.contains("headwater.toml"), "{told}");
    }
    ensure!(told.len() == expected.len(), "{}", finished.stderr);

    // The JSON output has the same errors.
    let document = json_of(&folder.path().join("headwater.toml"), &[], FAILURE).await?;
    let errors = document["errors"].as_array().context("no errors")?;
    for (error, (line, words)) in errors.iter().zip(&expected) {
        ensure!(error["line"] == *line, "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "{error}");
        ensure!(
            error["column"].is_u64() && error["text"].is_string(),
            "{error}"
        );
    }
    ensure!(errors.len() == expected.len() && document["ok"] == false);
    // It also has the good services.
    let services = document["services"].as_array().context("no services")?;
    ensure!(
        services.len() == 1 && services[0]["name"] == "b",
        "{document}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_tells_all_that_is_wrong_with_the_file_too() -> Result<()> {
    let (text, expected) = mistakes()?;
    let folder = folder(&text)?;
    fs::write(folder.path().join("rocket.wat"), ROCKET)?;
    let serve = Host::headwater().arg("serve");
    let finished = serve.arg(folder.path().join("headwater.toml"));
    let finished = finished.run_to_end().await?;
    ensure!(finished.code == Some(FAILURE), "{finished:?}");
    // Errors of guests and outputs are found later, when they are loaded and opened.
    for (line, words) in expected.iter().filter(|(line, _)| ![22, 35].contains(line)) {
        ensure!(
            finished.stderr.contains(words),
            "{line}: {}",
            finished.stderr
        );
    }
    Ok(())
}

/// Returns the output of `check FILE --format json`.
async fn json_of(file: &Path, flags: &[&str], code: i32) -> Result<Value> {
    let check = Host::headwater().arg("check").arg(file);
    let check = check.args(["--format", "json"]).args(flags.to_vec());
    let finished = check.run_to_end().await?;
    ensure!(finished.code == Some(code), "{finished:?}");
    ensure!(finished.stderr.is_empty(), "{}", finished.stderr);
    Ok(serde_json::from_str(&finished.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_checked_with_the_flags_that_it_would_be_served_with() -> Result<()> {
    let hello = guest("hello")?;
    let flags = [
        "--allow-outgoing",
        "http://127.0.0.1:9000",
        "--env",
        "STAGE=test",
        "--listen=127.0.0.1:0,127.0.0.1:20011",
        "--admin",
        "127.0.0.1:20012",
        "--admin-probes=127.0.0.1:20013",
        "--serial",
        "--max-instances=7",
    ];
    let document = json_of(&hello, &flags, 0).await?;
    let service = json!({
        "name": "hello",
        "kind": "component",
        "load": "eager",
        "world": "wasi:http/service@0.3",
        "file": hello,
        "routes": [{ "path": "/...", "hosts": [], "strip_prefix": false, "middleware": [] }],
        "middleware": [],
        "fail": null,
        "may_call": ["http://127.0.0.1:9000"],
        "unverified": [],
        "grants": { "may_call": ["http://127.0.0.1:9000"] },
        "environment": ["STAGE"],
        "directories": [],
        "instances": { "max": 7, "requests_at_once": 1, "requests_in_all": [750, 1000] },
    });
    let listener = |address| json!({ "address": address, "tls": false });
    let expected = json!({
        "file": hello,
        "ok": true,
        "errors": [],
        "warnings": [],
        "services": [service],
        "middlewares": [],
        "builtins": [],
        "listeners": [listener("127.0.0.1:0"), listener("127.0.0.1:20011")],
        "admin": "127.0.0.1:20012",
        "probes": "127.0.0.1:20013",
    });
    ensure!(document == expected, "{document:#}");

    for (flags, code, words) in [
        (
            &["--dir", "/does/not/exist::/x"][..],
            FAILURE,
            "/does/not/exist",
        ),
        (&["--ca", "none.pem"], FAILURE, "none.pem"),
        (
            &["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:1"],
            FAILURE,
            "admin listener",
        ),
        (
            &["--trace-file", "/does/not/exist/x"],
            FAILURE,
            "--trace-file: ",
        ),
        (&["--proxy", "ftp://x"], USAGE, "--proxy"),
        (&["--no-proxy", "x"], USAGE, "--no-proxy"),
        (&["--log", "debg"], USAGE, "--log"),
        (
            &["--hostname", "x"],
            USAGE,
            "--hostname is not a flag of `headwater serve`",
        ),
        (&["--max-queue", "0"], USAGE, "--max-queue"),
    ] {
        let finished = Host::headwater()
            .arg("check")
            .args(flags.to_vec())
            .arg(&hello);
        refused(&finished.run_to_end().await?, code, &[words])?;
    }
    let check = Host::headwater().arg("check").arg(&hello);
    let finished = check
        .env("HEADWATER_LISTEN", "127.0.0.1:20013")
        .run_to_end()
        .await?;
    ensure!(
        finished.stdout.contains("Would listen on 127.0.0.1:20013"),
        "{finished:?}"
    );
    let check = Host::headwater().arg("check").arg(&hello);
    let check = check.args(["--format", "json"]);
    let finished = check.env("HEADWATER_MAX_QUEUE", "0").run_to_end().await?;
    let document: Value = serde_json::from_str(&finished.stdout)?;
    let error = &document["errors"][0];
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(
        finished.code == Some(USAGE) && error["kind"] == "usage",
        "{finished:?}"
    );
    ensure!(
        message.starts_with("invalid value '0' for 'HEADWATER_MAX_QUEUE")
            && message.contains("1 or more"),
        "{message}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_checked_with_the_flags_of_wagi() -> Result<()> {
    let module = guest("wagi-rust")?;
    let folder = TempDir::new()?;
    let file = folder.path().join("modules.toml");
    let entry = |more: &str| format!("[[module]]\nroute = \"/a\"\nmodule = {module:?}\n{more}\n");
    fs::write(&file, entry(""))?;
    let flags = [
        "-l",
        "127.0.0.1:20014",
        "-e",
        "A=1",
        "B='2'",
        "--access-log",
        "combined",
    ];
    let document = json_of(&file, &flags, 0).await?;
    let service = &document["services"][0];
    ensure!(
        service["name"] == "wagi-rust" && service["kind"] == "module",
        "{document:#}"
    );
    ensure!(service["environment"] == json!(["A", "B"]), "{document:#}");
    ensure!(service["instances"].is_null(), "{document:#}");
    ensure!(
        document["builtins"][0]["routes"][0]["path"] == "/healthz",
        "{document:#}"
    );
    let listeners = json!([{ "address": "127.0.0.1:20014", "tls": false }]);
    ensure!(document["listeners"] == listeners, "{document:#}");

    for (flags, code, words) in [
        (
            &["--min-idle", "1"][..],
            USAGE,
            "--min-idle is not a flag of `headwater wagi`",
        ),
        (&["--listen", "unix:x"], USAGE, "--listen"),
        (&["--cache", "none.toml"], FAILURE, "none.toml"),
        (
            &["--tls-cert", "c", "--tls-key", "k"],
            FAILURE,
            "--tls-cert",
        ),
        (
            &["--access-log-to", "/does/not/exist/x"],
            FAILURE,
            "--access-log-to: ",
        ),
    ] {
        let finished = Host::headwater()
            .arg("check")
            .arg(&file)
            .args(flags.to_vec());
        let finished = finished.run_to_end().await?;
        refused(&finished, code, &[words])?;
    }

    let wrong = format!(
        "{}{}",
        entry("host = \"a b\"\ntimeout = 5"),
        entry("volumes = 5\nenviroment = {}").replace(".wasm", "-none.wasm"),
    );
    fs::write(&file, wrong)?;
    let document = json_of(&file, &[], FAILURE).await?;
    let lines = |list: &str| -> Vec<_> {
        let found = document[list].as_array().into_iter().flatten();
        found.map(|it| it["line"].as_u64().unwrap_or(0)).collect()
    };
    ensure!(lines("errors") == [4, 5, 8, 9], "{document:#}");
    ensure!(lines("warnings") == [10], "{document:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_probably_not_meant_is_warned_of_by_check_and_at_start() -> Result<()> {
    let hello = guest("hello")?;
    let folder = folder(&format!(
        r#"[[service]]
name = "shop"
route = ["/shop/...", "/*"]
component = {hello:?}
allow_outgoing = ["http://stok.internal", "http://shop.internal", "db.corp.internal"]
environment = {{ HOME = "${{HOME}}" }}
secrets = {{ KEY = {{ env = "HEADWATER_API_KEY" }} }}
[[service]]
name = "stock"
route = "/stock/..."
component = {hello:?}
"#
    ))?;
    let file = folder.path().join("headwater.toml");
    let told = [
        ["`HEADWATER_TIMOUT`", "did you mean `HEADWATER_TIMEOUT`?"],
        ["line 3, column 23: \"/*\"", "write `/...`"],
        [
            "service `shop` (line 5, column 19",
            "did you mean `http://stock.internal`?",
        ],
        [
            "line 6, column 17",
            "secrets = { HOME = { env = \"HOME\" } }",
        ],
    ];
    let with_variables = |command: &str| {
        let host = Host::headwater().arg(command).arg(&file);
        let host = host
            .env("HEADWATER_TIMOUT", "5s")
            .env("HEADWATER_API_KEY", "k");
        host.env("HEADWATER_MAX_BODY", "1MiB")
            .env("HEADWATER_COLOUR", "")
    };
    let finished = with_variables("check").run_to_end().await?;
    ensure!(finished.code == Some(0), "{finished:?}");
    let warnings = |text: &str, mark: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(mark));
        lines.map(ToOwned::to_owned).collect()
    };
    let host = with_variables("serve")
        .args(["--listen", "127.0.0.1:0"])
        .start()
        .await?;
    for lines in [
        warnings(&finished.stdout, "WARNING: "),
        warnings(&host.stderr().text(), " WARN "),
    ] {
        ensure!(lines.len() == told.len(), "{lines:#?}");
        for words in told {
            let is_it = |line: &&String| words.iter().all(|word| line.contains(word));
            ensure!(
                lines.iter().any(|line| is_it(&line)),
                "{words:?}: {lines:#?}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_is_logged_again_by_a_reload_only_if_it_is_new() -> Result<()> {
    let folder = folder("[[answer]]\nroute = \"/*\"\n")?;
    let file = folder.path().join("headwater.toml");
    let serve = Host::headwater().arg("serve").arg(&file);
    let host = serve.args(["--listen", "127.0.0.1:0"]).start().await?;
    fs::write(
        &file,
        "[[answer]]\nroute = \"/*\"\n[[answer]]\nroute = \"/x/*\"\n",
    )?;
    host.process().hang_up()?;
    host.stderr()
        .wait_for("the end of the reload", |line| line.contains("reloaded: "))
        .await?;
    let log = host.stderr().text();
    let count = |words: &str| log.matches(words).count();
    ensure!(
        count("the route `/*`") == 1 && count("the route `/x/*`") == 1,
        "{log}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_panics_when_the_reader_of_the_output_has_left() -> Result<()> {
    let folder = folder(ANSWER)?;
    let file = folder.path().join("headwater.toml");
    let file = file.to_str().context("no UTF-8")?;
    for (arguments, code) in [
        (&["reference"][..], 0),
        (&["schema"], 0),
        (&["--help"], 0),
        (&["serve", "--help"], 0),
        (&["check", file], 0),
        (&["check", file, "--format", "json"], 0),
        (&["check", "/does/not/exist", "--format", "json"], FAILURE),
    ] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = Command::new(binary()?);
        let command = command
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = command.output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(code),
            "{arguments:?}: {output:?}"
        );
        ensure!(told.is_empty(), "{arguments:?}: {told}");
    }
    let full = fs::File::options().write(true).open("/dev/full")?;
    let output = Command::new(binary()?)
        .arg("schema")
        .stdout(full)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(FAILURE), "{output:?}");
    ensure!(
        told.starts_with("error: cannot write to standard output"),
        "{told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_though_the_reader_of_its_output_has_left() -> Result<()> {
    let folder = folder(ANSWER)?;
    let socket = folder.path().join("socket");
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut host = tokio::process::Command::new(binary()?)
        .arg("serve")
        .arg(folder.path().join("headwater.toml"))
        .arg(format!("--listen=unix:{}", socket.display()))
        .stdout(writer)
        .kill_on_drop(true)
        .spawn()?;
    let answer = within("an answer", async {
        // The socket exists before anything is printed; the answer comes later.
        let mut stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(_) => ensure!(host.try_wait()?.is_none(), "it has ended"),
            }
            tokio::task::yield_now().await;
        };
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    });
    let answer = answer.await??;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    host.kill().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_from_standard_input_by_its_path() -> Result<()> {
    let folder = folder(ANSWER)?;
    let input = fs::File::open(folder.path().join("headwater.toml"))?;
    let mut command = Command::new(binary()?);
    let output = command
        .args(["check", "/dev/stdin"])
        .stdin(input)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_version_1_is_told_with_its_place_and_the_remedy() -> Result<()> {
    let old = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/x509-v1.pem");
    let folder = folder(&format!(
        "{ANSWER}[[listener]]\nlisten = \"127.0.0.1:0\"\n[[listener.tls.certificates]]\n\
         certificate = {old:?}\nkey = \"c.key\"\n"
    ))?;
    Authority::new("authority")?.certify(&folder.path().join("c"), "localhost")?;
    let finished = check(&folder).await?;
    let expected = [
        "line 6, column 1: certificate",
        "X.509 version 1",
        "subjectAltName",
    ];
    refused(&finished, FAILURE, &expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starlingmonkey_component_that_would_be_reused_is_warned_of() -> Result<()> {
    let script = Proxy {
        more: "(@producers (processed-by \"ComponentizeJS\" \"0.23.0\"))".to_owned(),
        ..Proxy::default()
    };
    for (keys, warns) in [
        ("", false),
        ("max_requests_per_instance = \"1-10\"\n", true),
    ] {
        let settings = Settings::default().crafted("script", "/...", script.clone());
        let settings = settings.text(keys).write()?;
        let checked = Host::headwater().arg("check").arg(settings.path());
        let checked = checked.run_to_end().await?;
        ensure!(checked.code == Some(0), "{checked:?}");
        let warned = checked
            .stdout
            .lines()
            .any(|line| line.contains("WARNING") && line.contains("StarlingMonkey"));
        ensure!(warned == warns, "{keys:?}: {}", checked.stdout);
    }
    Ok(())
}
