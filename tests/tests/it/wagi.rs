//! Promise: modules that were written for WAGI run unchanged.

use std::fs;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::modules::Modules;
use headwater_tests::pattern::{self, Checker};
use headwater_tests::settings::Settings;
use headwater_tests::{Answer, Client, Host, client};
use http::Request;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_module_gets_the_environment_and_arguments_of_wagi() -> Result<()> {
    let settings = Settings::default()
        .module("wagi-rust", "/wagi/...")?
        .text(
            "[service.environment]\n\
             GRANTED = \"yes\"\n\
             SERVER_SOFTWARE = \"not ours to set\"\n",
        )
        .write()?;
    let host = Host::serve(settings.path())
        .env("SECRET_OF_THE_HOST", "leaked")
        .start()
        .await?;
    let request = Request::post(format!("{}/wagi/a%20b/c?x=1&y=%32&x=1", host.url()))
        .header("content-type", "text/x-test")
        .header("x-custom", "one")
        .header("x-custom", "two")
        .header("authorization", "Basic c2VjcmV0")
        .header("proxy", "http://attacker.example")
        .body(client::full("four"))?;
    let answer = Client::new().send(request).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    ensure!(answer.header("content-type") == "text/plain");

    let text = answer.text();
    let authority = host.url().trim_start_matches("http://");
    let port = authority.rsplit(':').next().unwrap_or_default();
    let port = format!("SERVER_PORT={port}");
    let full_url = format!("X_FULL_URL=http://{authority}/wagi/a%20b/c?x=1&y=%32&x=1");
    let http_host = format!("HTTP_HOST={authority}");
    for line in [
        "AUTH_TYPE=",
        "CONTENT_LENGTH=4",
        "CONTENT_TYPE=text/x-test",
        "GATEWAY_INTERFACE=CGI/1.1",
        "GRANTED=yes",
        "HTTP_CONTENT_TYPE=text/x-test",
        "HTTP_X_CUSTOM=one, two",
        "PATH_INFO=/a b/c",
        "PATH_TRANSLATED=/a b/c",
        "QUERY_STRING=x=1&y=%32&x=1",
        "REMOTE_ADDR=127.0.0.1",
        "REMOTE_HOST=127.0.0.1",
        "REMOTE_USER=",
        "REQUEST_METHOD=POST",
        "SCRIPT_NAME=/wagi",
        "SERVER_NAME=127.0.0.1",
        "SERVER_PROTOCOL=HTTP/1.1",
        "SERVER_SOFTWARE=WAGI/1",
        "X_MATCHED_ROUTE=/wagi/...",
        "X_RAW_PATH_INFO=/a%20b/c",
        r#"argv: ["/wagi/a%20b/c", "x=1", "y=%32", "x=1"]"#,
        "body: 4 bytes",
        &port,
        &full_url,
        &http_host,
    ] {
        ensure!(
            text.lines().any(|other| other == line),
            "no line {line:?} in:\n{text}"
        );
    }
    for absent in [
        "c2VjcmV0",
        "HTTP_PROXY",
        "attacker",
        "leaked",
        "not ours",
        "\nPATH=",
    ] {
        ensure!(!text.contains(absent), "{absent:?} is in:\n{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_spelled_as_the_variable_of_another_is_not_taken_for_it() -> Result<()> {
    for arguments in [&[][..], &["--compat", "strict"]] {
        let module = Modules::new()?.guest("/...", "wagi-rust", "")?;
        let path = module.write()?;
        let host = Host::wagi(&path).args(arguments).start().await?;
        let request = Request::post(format!("{}/", host.url()))
            // Long enough that no id contains it by chance.
            .header("Content_Length", "9999999999")
            .header("content_type", "text/evil")
            .header("Transfer_Encoding", "evil")
            .header("X_Forwarded_Host", "evil.example")
            .header("X_Other", "kept")
            .body(client::streamed(
                [Bytes::from_static(b"body")].into_iter(),
                None,
            ))?;
        let text = Client::new().send(request).await?.text();
        for absent in [
            "9999999999",
            "evil",
            "HTTP_CONTENT_LENGTH",
            "HTTP_TRANSFER_ENCODING",
        ] {
            ensure!(!text.contains(absent), "{absent:?} is in:\n{text}");
        }
        for line in ["CONTENT_LENGTH=4", "HTTP_X_OTHER=kept"] {
            ensure!(
                text.lines().any(|found| found == line),
                "no {line:?} in:\n{text}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_query_is_one_empty_argument_and_no_query_is_none() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let text = module.get("/a?").await?.text();
    ensure!(text.contains("argv: [\"/a\", \"\"]\n"), "{text}");
    let text = module.get("/a").await?.text();
    ensure!(text.contains("argv: [\"/a\"]\n"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_of_a_headwater_toml_has_the_arguments_and_the_strictness_that_the_file_gives_it()
-> Result<()> {
    let settings = Settings::default()
        .module("wagi-rust", "/wagi/...")?
        .text("argv = \"python -u ${SCRIPT_NAME} ${ARGS}\"\ncompat = \"strict\"\n")
        .write()?;
    let host = Host::serve(settings.path()).start().await?;
    let request = Request::get(format!("{}/wagi/x?a=1&b=2", host.url()))
        .header("content-type", "text/x-test")
        .body(client::empty())?;
    let answer = Client::new().send(request).await?;
    let text = answer.text();
    let argv = r#"argv: ["python", "-u", "/wagi/x", "a=1", "b=2"]"#;
    ensure!(text.lines().any(|line| line == argv), "{text}");
    // Like WAGI 0.8.1.
    ensure!(text.lines().any(|line| line == "CONTENT_TYPE="), "{text}");
    // It exits, which was a failure then.
    let answer = Client::new()
        .get(&format!("{}/wagi/x?exit=0", host.url()))
        .await?;
    ensure!(answer.status == 500, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_module_become_headers_of_the_response() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let answer = module.get("/?status=418").await?;
    ensure!(
        answer.status == 418 && answer.text() == "status 418\n",
        "{answer:?}"
    );

    let answer = module.get("/?location=/elsewhere").await?;
    ensure!(answer.status == 302, "{}", answer.status);
    ensure!(answer.header("location") == "/elsewhere");

    let answer = module.get("/?cookies").await?;
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    ensure!(cookies == ["a=1; Path=/", "b=2; Path=/"], "{cookies:?}");
    ensure!(answer.text() == "cookies\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_code_zero_is_a_success_and_any_other_is_not() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let answer = module.get("/?exit=0").await?;
    ensure!(
        answer.status == 200 && answer.text() == "exit 0\n",
        "{answer:?}"
    );
    module.fails("/?exit=3", "3").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_is_a_500_with_the_id_and_a_log_line_with_the_cause() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    module.fails("/?trap", "unreachable").await?;
    // The answer was complete, but is dropped, as in WAGI.
    module.fails("/?latetrap", "unreachable").await?;
    module.fails("/?bad", "content-type").await?;
    let log = module.host.stderr();
    log.wait_for("the module's last words", |line| {
        line.contains("deliberate panic")
    })
    .await?;
    ensure!(module.get("/?status=200").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stderr_of_a_module_is_logged_with_its_request() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let answer = module.get("/?stderr=a-word-for-the-log").await?;
    ensure!(answer.text() == "logged\n", "{}", answer.text());
    let id = answer.request_id();
    let log = module.host.stderr();
    log.wait_for("the line with the request's id", |line| {
        line.contains("a-word-for-the-log") && line.contains(id)
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_a_module_pass_unchanged() -> Result<()> {
    const SIZE: usize = 10 << 20;
    let module = Module::serve("wagi-rust", &[]).await?;
    let body: Vec<u8> = pattern::chunks(SIZE).flatten().collect();
    let request = Request::post(format!("{}/?echo", module.host.url()))
        .header("content-type", "application/x-pattern")
        .body(client::full(body))?;
    let answer = Client::new().send(request).await?;
    ensure!(answer.header("content-type") == "application/x-pattern");
    let mut checker = Checker::default();
    checker.check(&answer.body)?;
    ensure!(checker.length() == SIZE);

    let answer = module.get("/?bytes=3000000").await?;
    ensure!(answer.body.len() == 3_000_000);
    ensure!(answer.body.iter().all(|&byte| byte == b'x'));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_sees_a_directory_only_if_it_was_granted() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    ensure!(module.get("/?files").await?.text() == "no directory at /\n");

    let folder = TempDir::new()?;
    fs::write(folder.path().join("granted.txt"), "")?;
    let grant = format!("{}::/", folder.path().display());
    let module = Module::serve("wagi-rust", &["--dir", &grant]).await?;
    let text = module.get("/?files").await?.text();
    ensure!(text == "granted.txt\n", "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_spin_are_ended_at_the_timeout_while_others_are_answered() -> Result<()> {
    let module = Module::serve("wagi-rust", &["--timeout", "2s"]).await?;
    let (spins, others) = futures::try_join!(
        try_join_all((0..4).map(|_| module.get("/?spin"))),
        try_join_all((0..10).map(|_| module.get("/?exit=0"))),
    )?;
    for spin in spins {
        ensure!(spin.status == 504, "{}", spin.status);
        ensure!(spin.text().contains(spin.request_id()));
    }
    for other in others {
        ensure!(other.status == 200, "{}", other.text());
    }
    // A module that went on would still use its core.
    ensure!(module.get("/?exit=0").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_an_instance_of_its_own() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let answers = try_join_all((0..40).map(|i| {
        let path = format!("/?status={}", 200 + i);
        async { (module.get(&path).await).map(|answer| (path, answer)) }
    }))
    .await?;
    for (path, answer) in answers {
        let status = answer.status.as_u16().to_string();
        ensure!(path.ends_with(&status), "{path} got {status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c_module_gives_the_specified_answer() -> Result<()> {
    let module = Module::serve("wagi-c", &[]).await?;
    let request = Request::post(format!("{}/c/x?a=b", module.host.url()));
    let answer = Client::new()
        .send(request.body(client::full("abc"))?)
        .await?;
    let expected = "Hello from C!\nmethod: POST\npath info: /c/x\nbody: 3 bytes, sum 294\n\
                    argv[0]: /c/x\nargv[1]: a=b\n";
    ensure!(
        answer.status == 200 && answer.text() == expected,
        "{answer:?}"
    );
    ensure!(answer.header("content-type") == "text/plain");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_in_text_form_has_its_writes_gathered_and_its_reads_scattered() -> Result<()> {
    let module = Module::serve("wagi-wat", &[]).await?;
    for length in [0, 10, 16, 40, 60_000] {
        let body: Vec<u8> = pattern::chunks(length).flatten().collect();
        let request = Request::post(module.host.url()).body(client::full(body.clone()))?;
        let answer = Client::new().send(request).await?;
        ensure!(answer.status == 200, "{length}: {}", answer.text());
        ensure!(answer.header("content-type") == "text/plain");
        let expected = [b"Hello from WAT!\n".as_slice(), &body].concat();
        ensure!(
            answer.body == expected,
            "{length} bytes were sent, {} came back",
            answer.body.len()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_for_a_module_that_never_reads_it_does_not_hang() -> Result<()> {
    let module = Module::serve("wagi-rust", &[]).await?;
    let body: Vec<u8> = pattern::chunks(64 << 20).flatten().collect();
    let request = Request::post(format!("{}/?status=202", module.host.url()));
    let answer = Client::new()
        .send(request.body(client::full(body))?)
        .await?;
    ensure!(
        answer.status == 202 && answer.text() == "status 202\n",
        "{answer:?}"
    );
    Ok(())
}

struct Module {
    host: Host,
}

impl Module {
    async fn serve(name: &str, arguments: &[&str]) -> Result<Self> {
        let host = Host::serve(guest(name)?).args(arguments).start().await?;
        Ok(Self { host })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        Client::new()
            .get(&format!("{}{path}", self.host.url()))
            .await
    }

    /// Checks that the answer is a 500 with its id in header and body, and that the log has the
    /// cause with it.
    async fn fails(&self, path: &str, cause: &str) -> Result<()> {
        let answer = self.get(path).await?;
        ensure!(answer.status == 500, "{path}: {}", answer.status);
        let id = answer.request_id();
        ensure!(
            !id.is_empty() && answer.text().contains(id),
            "{path}: {answer:?}"
        );
        let log = self.host.stderr();
        log.wait_for(&format!("a log line with the id and {cause:?}"), |line| {
            line.contains(id) && line.contains(cause)
        })
        .await?;
        Ok(())
    }
}
