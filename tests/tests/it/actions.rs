//! Promise: action components stand in front of every kind of service. They continue, reject and modify; what
//! they see of bodies is bounded; and what they do wrong is their own fault.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::client::{Answer, empty, full};
use headwater_tests::guests::guest;
use headwater_tests::refusal::{FAILURE, refused};
use headwater_tests::settings::Settings;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Admin, Client, Host, Services, Upstream, echo, within};
use http::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Settings with this action component under the name `hook`; its keys follow.
fn hook(settings: Settings, component: &str, keys: &str) -> Result<Settings> {
    let file = guest(component)?;
    Ok(settings.text(&format!(
        "[[middleware]]\nname = \"hook\"\ncomponent = {file:?}\n{keys}\n"
    )))
}

/// Settings with this service behind the hook.
fn behind(component: &str, keys: &str, service: &str) -> Result<Settings> {
    let settings = hook(Settings::default(), component, keys)?;
    let settings = settings.component(service, "/...", &[])?;
    Ok(settings.text("middleware = [\"hook\"]\n"))
}

async fn post(services: &Services, path: &str, body: &'static str) -> Result<Answer> {
    let url = format!("{}{path}", services.host().url());
    Client::new()
        .send(Request::post(url).body(full(body))?)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_authenticate_and_tag_in_front_of_every_kind_of_service() -> Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("a.txt"), "of a file\n")?;
    let settings = hook(
        Settings::default(),
        "action",
        "environment = { KEY = \"sesame\" }\n",
    )?
    .text("[defaults]\nmiddleware = [\"hook\"]\n")
    .component("hello", "/hello", &[])?
    .component("hello-p2", "/p2", &[])?
    .module("wagi-rust", "/wagi/...")?
    .text(&format!(
        "[[files]]\nroute = \"/files/...\"\ndirectory = {:?}\n",
        folder.path()
    ))
    .text("[[redirect]]\nroute = \"/old\"\nto = \"/new\"\n");
    let services = Services::start(settings, &[]).await?;
    for (path, status, text) in [
        ("/hello", 200, "Hello from Headwater!\n"),
        ("/p2", 200, ""),
        ("/wagi/x?a=1", 200, "HTTP_X_TAGGED=GET /wagi/x?a=1 #0"),
        ("/files/a.txt", 200, "of a file\n"),
        ("/files/none", 404, ""),
        ("/old", 308, ""),
    ] {
        let url = format!("{}{path}", services.host().url());
        let request = |key: &str| Request::get(&url).header("x-key", key).body(empty());
        let refused = Client::new().send(request("wrong")?).await?;
        ensure!(
            refused.status == 401 && refused.text().is_empty(),
            "{path}: {refused:?}"
        );
        let answer = Client::new().send(request("sesame")?).await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
        ensure!(answer.text().contains(text), "{path}: {answer:?}");
        ensure!(
            answer.header("x-answered") == format!("{status} #0"),
            "{path}: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_changed_before_the_service_sees_it() -> Result<()> {
    let settings = hook(Settings::default(), "action", "")?
        .module("wagi-rust", "/w/...")?
        .text("middleware = [\"hook\"]\n");
    let services = Services::start(settings, &[]).await?;
    let url = format!("{}/w/x", services.host().url());
    let request = Request::get(&url)
        .header("x-remove", "1")
        .header("x-tagged", "the client's")
        .body(empty())?;
    let answer = Client::new().send(request).await?;
    let text = answer.text();
    let id = format!("HTTP_X_ID={}", answer.request_id());
    for line in [&*id, "HTTP_X_TAGGED=the client's, GET /w/x? #0"] {
        ensure!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    ensure!(!text.contains("HTTP_X_REMOVE"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_has_one_call_by_default_and_keeps_its_state_if_it_is_reused() -> Result<()> {
    let limited = "environment = { RATE = \"3\" }\n";
    let services = Services::start(behind("action", limited, "hello")?, &[]).await?;
    for _ in 0..5 {
        services.ok("/").await?;
    }
    // Both hooks of five requests.
    ensure!(services.instances("hook").started() == 10);

    let reused = format!("{limited}max_requests_per_instance = 1000\nmax_instances = 1\n");
    let services = Services::start(behind("action", &reused, "hello")?, &[]).await?;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(services.get("/").await?.status.as_u16());
    }
    ensure!(statuses == [200, 200, 200, 429, 429], "{statuses:?}");
    ensure!(services.instances("hook").started() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_past_unless_the_hook_asks_for_them_and_larger_ones_are_refused_or_pass()
-> Result<()> {
    // Without bodies: they stream, with trailers.
    let services = Services::start(behind("action", "body = \"0\"\n", "stream")?, &[]).await?;
    let answer = post(&services, "/count", "four").await?;
    ensure!(
        answer.text() == "4\n" && answer.header("x-answered") == "200 #0",
        "{answer:?}"
    );
    echo::with_trailers(&format!("{}/echo", services.host().url())).await?;

    let keys = "body = \"8\"\n".replace("8\"", "8B\"");
    let services = Services::start(behind("action", &keys, "stream")?, &[]).await?;
    let answer = post(&services, "/echo?on-request=replace", "eight ab").await?;
    ensure!(
        answer.text() == "EIGHT AB" && answer.header("x-answered") == "200 #8",
        "{answer:?}"
    );
    echo_small(&services).await?;
    let large = post(&services, "/count", "nine abcd").await?;
    ensure!(large.status == 413, "{large:?}");
    // The length is unknown until the ninth byte.
    let response = services.get("/bytes?n=9").await?;
    ensure!(response.is_failure(), "{response:?}");
    let line = services
        .host()
        .stderr()
        .wait_for("the fault", |line| line.contains("larger_bodies"));
    let line = line.await?;
    ensure!(line.contains("middleware=\"hook\""), "{line}");

    let passing = format!("{keys}larger_bodies = \"pass\"\n");
    let services = Services::start(behind("action", &passing, "stream")?, &[]).await?;
    let answer = post(&services, "/count", "nine abcd").await?;
    ensure!(answer.text() == "9\n", "{answer:?}");
    let url = format!("{}/echo", services.host().url());
    echo::unchanged(&url, 1 << 20).await?;
    let answer = services.ok("/bytes?n=9").await?;
    ensure!(
        answer.body.len() == 9 && answer.header("x-answered") == "200 #0",
        "{answer:?}"
    );
    Ok(())
}

/// A body within the bound goes on with its trailers.
async fn echo_small(services: &Services) -> Result<()> {
    let answer = post(services, "/echo?on-request=pass", "a").await?;
    ensure!(
        answer.text() == "a" && answer.header("x-answered") == "200 #1",
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_send_the_body_for_a_hook_is_late_and_not_the_hook() -> Result<()> {
    let keys = "body = \"10B\"\ntimeout = \"500ms\"\n";
    let services = Services::start(behind("action", keys, "stream")?, &[]).await?;
    let mut stream = TcpStream::connect(services.host().address()).await?;
    let head = "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab";
    stream.write_all(head.as_bytes()).await?;
    let mut status = [0; 12];
    within("an answer", stream.read_exact(&mut status)).await??;
    ensure!(status == *b"HTTP/1.1 408", "{}", status.escape_ascii());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_changed_or_rejected() -> Result<()> {
    for (told, status, text) in [
        ("replace", 203, "HELLO FROM HEADWATER!\n"),
        ("reject", 502, ""),
    ] {
        let keys = format!("body = \"1KiB\"\nenvironment = {{ ON_RESPONSE = {told:?} }}\n");
        let services = Services::start(behind("action", &keys, "hello")?, &[]).await?;
        let answer = services.get("/").await?;
        ensure!(
            answer.status == status && answer.text() == text,
            "{told}: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_does_wrong_is_its_own_fault_and_named() -> Result<()> {
    let services = Services::start(behind("action", "", "hello")?, &[]).await?;
    let log = services.host().stderr();
    for (mode, kind) in [
        ("name", "bad_response"),
        ("value", "bad_response"),
        ("forbidden", "bad_response"),
        ("host", "bad_response"),
        ("length", "bad_response"),
        ("many", "bad_response"),
        ("reject&status=42", "bad_response"),
        ("reject&status=103", "bad_response"),
        ("trap", "trap"),
    ] {
        let answer = services.get(&format!("/?on-request={mode}")).await?;
        ensure!(answer.is_failure(), "{mode}: {answer:?}");
        named(&answer, log, mode, kind, false).await?;
    }
    for (mode, kind) in [("status", "bad_response"), ("trap", "trap")] {
        let keys = format!("environment = {{ ON_RESPONSE = {mode:?} }}\n");
        let services = Services::start(behind("action", &keys, "hello")?, &[]).await?;
        let answer = services.get("/").await?;
        ensure!(answer.is_failure(), "{mode}: {answer:?}");
        named(&answer, services.host().stderr(), mode, kind, true).await?;
    }
    // The service's own fault is not the hook's, whether before or after its head.
    let services = Services::start(behind("action", "", "faulty")?, &[]).await?;
    let log = services.host().stderr();
    let answer = services.get("/trap").await?;
    ensure!(answer.is_failure(), "{answer:?}");
    let id = answer.request_id().to_owned();
    let line = log.wait_for("the fault", |line| {
        line.contains(&id) && line.contains("kind=")
    });
    let line = line.await?;
    ensure!(!line.contains("middleware="), "{line}");
    let cut = services.get("/late-trap").await;
    ensure!(cut.is_err(), "{cut:?}");
    let line = log.wait_for("the cut", |line| line.contains("the response was cut"));
    let line = line.await?;
    ensure!(!line.contains("middleware="), "{line}");
    Ok(())
}

/// Checks that the record of a fault names the hook.
async fn named(
    answer: &Answer,
    log: &headwater_tests::output::Output,
    mode: &str,
    kind: &str,
    reached: bool,
) -> Result<()> {
    let id = answer.request_id();
    let line = log.wait_for(mode, |line| line.contains(id) && line.contains("kind="));
    let line = line.await?;
    for said in [
        "middleware=\"hook\"",
        &format!("kind=\"{kind}\""),
        &format!("service_reached={reached}"),
    ] {
        ensure!(line.contains(said), "{mode}: {said}: {line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_does_not_end_is_ended_at_its_deadline_and_passed_by_if_it_fails_open()
-> Result<()> {
    let keys = "timeout = \"300ms\"\n";
    let services = Services::start(behind("action", keys, "hello")?, &[]).await?;
    let late = services.get("/?on-request=hang").await?;
    ensure!(late.status == 504, "{late:?}");
    // Its instance is gone, and the next request has another.
    services.ok("/").await?;

    let open = format!("{keys}fail = \"open\"\n");
    let services = Services::start(behind("action", &open, "hello")?, &[]).await?;
    for mode in ["hang", "trap", "forbidden"] {
        let answer = services.ok(&format!("/?on-request={mode}")).await?;
        ensure!(
            answer.text() == "Hello from Headwater!\n",
            "{mode}: {answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_sees_the_fault_and_may_answer_in_its_place() -> Result<()> {
    let services = Services::start(behind("action-errors", "", "faulty")?, &[]).await?;
    let answer = services.get("/trap").await?;
    ensure!(
        answer.status == 503
            && answer.text()
                == "GET /trap: 500 guest trap (the service failed) by None, reached: true\n"
            && answer.header("x-handled") == answer.request_id(),
        "{answer:?}"
    );
    let log = services.host().stderr();
    let line = log.wait_for("the fault", |line| line.contains("in place of what failed"));
    let line = line.await?;
    ensure!(
        line.contains("deliberate panic") || line.contains("unreachable"),
        "{line}"
    );
    // The fault stays if the hook leaves it, and also if it fails.
    for mode in ["leave", "trap", "status"] {
        let answer = services.get(&format!("/trap?on-error={mode}")).await?;
        ensure!(answer.is_failure(), "{mode}: {answer:?}");
        let id = answer.request_id().to_owned();
        let line = log.wait_for(mode, |line| {
            line.contains("headwater::server")
                && line.contains(&id)
                && line.contains("kind=\"trap\"")
        });
        let line = line.await?;
        ensure!(!line.contains("middleware=\"hook\" "), "{mode}: {line}");
    }
    // A response is no fault, whatever its status.
    let fine = services.get("/nothing").await?;
    ensure!(fine.header("x-handled").is_empty(), "{fine:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_error_names_the_link_that_failed() -> Result<()> {
    let gate = guest("gate")?;
    let settings = hook(Settings::default(), "action-errors", "")?
        .text(&format!(
            "[[middleware]]\nname = \"gate\"\ncomponent = {gate:?}\n"
        ))
        .component("hello", "/...", &[])?
        .text("middleware = [\"hook\", \"gate\"]\n");
    let services = Services::start(settings, &[]).await?;
    let answer = services.get("/?gate=trap").await?;
    ensure!(
        answer.text().contains("by Some(\"gate\"), reached: false"),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn outgoing_requests_behind_a_hook_are_attributed_and_its_span_is_between() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(std::time::Duration::ZERO)).await?;
    let settings = hook(Settings::default(), "action", "")?
        .component("fanout", "/...", &[&upstream.url()])?
        .text("middleware = [\"hook\"]\n");
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let settings = settings.write()?;
    let host = Host::serve(settings.path()).arg("--trace-file").arg(&path);
    let mut host = host.start().await?;
    let url = format!("{}/?k=3&wait=1&to={}", host.url(), upstream.url());
    let answer = Client::new().get(&url).await?;
    ensure!(answer.status == 200, "{answer:?}");
    host.stop().await?;
    let trace = headwater_tests::trace_file::TraceFile::read(&path)?;
    let find = |name: &str| trace.spans().find(|span| span.name == name);
    let hook = find("middleware hook").context("the hook's span")?;
    let service = find("service fanout").context("the service's span")?;
    ensure!(
        service.parent_id.as_ref() == Some(&hook.span_id),
        "{service:?}"
    );
    ensure!(
        service.attribute("headwater.attribution") == Some("exact"),
        "{service:?}"
    );
    let calls = trace.spans().filter(|span| {
        span.parent_id.as_ref() == Some(&service.span_id)
            && span.attribute("headwater.attribution") == Some("exact")
    });
    ensure!(calls.count() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_its_place() -> Result<()> {
    let action = guest("action")?;
    for (text, said) in [
        (
            format!("[[service]]\nname = \"a\"\nroute = \"/\"\ncomponent = {action:?}\n"),
            "exports hooks of a middleware (on-request, on-response)",
        ),
        (
            format!(
                "[[middleware]]\nname = \"gate\"\ncomponent = {:?}\nbody = \"1KiB\"\n[[answer]]\nroute = \"/\"\n",
                guest("gate")?
            ),
            "`body` and `larger_bodies` are for action components",
        ),
        (
            format!(
                "[[middleware]]\nname = \"a\"\ncomponent = {action:?}\nbody = \"large\"\n[[answer]]\nroute = \"/\"\n"
            ),
            "is not a size",
        ),
    ] {
        let site = Settings::default().text(&text).write()?;
        let ended = Host::headwater().arg("check").arg(site.path());
        refused(
            &ended.run_to_end().await?,
            FAILURE,
            &["headwater.toml", "line", said],
        )?;
    }
    let wrong = Settings::default().crafted("hook", "/", WRONG_TYPE);
    let wrong = wrong.write()?;
    let text = fs::read_to_string(wrong.path())?;
    let text = text
        .replace("[[service]]", "[[middleware]]")
        .replace("route = \"/\"\n", "");
    fs::write(wrong.path(), format!("{text}[[answer]]\nroute = \"/\"\n"))?;
    let ended = Host::headwater().arg("check").arg(wrong.path());
    refused(
        &ended.run_to_end().await?,
        FAILURE,
        &[
            "smg:gateway/middleware-on-request#on-request",
            "another type",
        ],
    )
}

/// Exports `on-request` without parameters.
const WRONG_TYPE: &str = r#"
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance (export "smg:gateway/middleware-on-request") (export "on-request" (func $f))))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_hooks() -> Result<()> {
    let settings = behind("action", "", "hello")?.write()?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let view = admin.json("/services").await?;
    let world = &view["middlewares"][0]["pool"]["world"];
    ensure!(world == "action (on-request, on-response)", "{view}");
    let banner = host.stdout().text();
    ensure!(
        banner.contains("action (on-request, on-response)"),
        "{banner}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_the_command_line_stand_in_front_of_a_guest() -> Result<()> {
    let host = Host::serve(guest("hello")?)
        .arg("--middleware")
        .arg(guest("action")?);
    let host = host.start().await?;
    let answer = Client::new().get(host.url()).await?;
    ensure!(answer.header("x-answered") == "200 #0", "{answer:?}");
    Ok(())
}
