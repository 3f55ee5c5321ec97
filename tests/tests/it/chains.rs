//! Promise: middlewares that the host chains give the same results as composed ones, each with grants,
//! limits and failures of its own.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::client::{Answer, empty, full};
use headwater_tests::curl::Curl;
use headwater_tests::guests::guest;
use headwater_tests::instances;
use headwater_tests::refusal::{FAILURE, USAGE, refused};
use headwater_tests::settings::Settings;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::{Span, TraceFile};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Admin, Client, Host, Services, Upstream, echo, within};
use http::Request;
use serde_json::Value;
use tempfile::TempDir;

use crate::composed::Scenario;

/// Settings with this middleware; its keys follow.
fn middleware(settings: Settings, name: &str, component: &str, keys: &str) -> Result<Settings> {
    let file = guest(component)?;
    Ok(settings.text(&format!(
        "[[middleware]]\nname = {name:?}\ncomponent = {file:?}\n{keys}\n"
    )))
}

/// Settings of `gate` in front of `hello` at every path.
fn gate(keys: &str, service: &str) -> Result<Settings> {
    let settings = middleware(Settings::default(), "gate", "gate", keys)?;
    let settings = settings.component("hello", "/...", &[])?;
    Ok(settings.text(&format!("middleware = [\"gate\"]\n{service}")))
}

async fn all_right(
    name: &'static str,
    query: &'static str,
    clients: usize,
    rounds: usize,
    calls: usize,
) -> Result<()> {
    let scenario = Scenario {
        name,
        query,
        clients,
        rounds,
        calls,
    };
    scenario.run_chained().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_made_when_middleware_and_service_have_returned_are_all_right() -> Result<()> {
    all_right("mw-detached", "wait=50", 32, 15, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_made_while_the_middleware_waits_are_all_right() -> Result<()> {
    all_right("mw-fanout", "k=5&wait=20", 32, 5, 5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_third_level_are_all_right() -> Result<()> {
    all_right("mw-mw-detached", "wait=50", 32, 15, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn late_calls_of_the_next_handler_are_all_right() -> Result<()> {
    all_right("mw-mw2-detached", "mw=late&wait=20", 32, 10, 1).await?;
    all_right("mw-mw2-detached", "mw=late&n=6&wait=20", 16, 8, 6).await?;
    all_right("mw-mw2-detached", "mw=spin&wait=20", 16, 10, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_between_the_chunks_of_a_body_are_all_right() -> Result<()> {
    all_right("mw2-streamer", "mw=pass&k=8", 32, 5, 8).await?;
    all_right("mw-mw2-streamer", "mw=copy&k=8", 32, 5, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_behind_a_middleware_that_does_not_wait_are_all_right() -> Result<()> {
    all_right("mwraw-detached", "wait=50", 32, 10, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_service_can_be_behind_middlewares() -> Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("a.txt"), "of a file\n")?;
    let settings = middleware(
        Settings::default(),
        "outer",
        "gate",
        "environment = { GATE_NAME = \"outer\" }\n",
    )?;
    let settings = middleware(
        settings,
        "inner",
        "gate",
        "environment = { GATE_NAME = \"inner\" }\n",
    )?;
    let both = "middleware = [\"outer\", \"inner\"]\n";
    let settings = settings
        .text(&format!("[defaults]\n{both}"))
        .component("hello", "/hello", &[])?
        .component("hello-p2", "/p2", &[])?
        .module("wagi-rust", "/wagi/...")?
        .component_as("alone", "hello", "/alone", &[])?
        .text("middleware = []\n")
        .text(&format!(
            "[[service]]\nname = \"routed\"\ncomponent = {:?}\nroute = [\"/routed\", {{ path = \"/by-route\", \
             middleware = [\"inner\"] }}]\n",
            guest("hello")?
        ))
        .text(&format!(
            "[[files]]\nroute = \"/files/...\"\ndirectory = {:?}\n",
            folder.path()
        ))
        .text("[[redirect]]\nroute = \"/old\"\nto = \"/new\"\n")
        .text("[[answer]]\nroute = \"/fixed\"\nbody = \"fixed\"\nmiddleware = [\"outer\"]\n");
    let services = Services::start(settings, &[]).await?;
    for (path, status, text, gates) in [
        ("/hello", 200, "Hello from Headwater!\n", "inner,outer"),
        ("/p2", 200, "", "inner,outer"),
        ("/wagi/x", 200, "PATH_INFO=/x", "inner,outer"),
        ("/alone", 200, "Hello from Headwater!\n", ""),
        ("/routed", 200, "Hello from Headwater!\n", "inner,outer"),
        ("/by-route", 200, "Hello from Headwater!\n", "inner"),
        ("/files/a.txt", 200, "of a file\n", "inner,outer"),
        ("/files/none", 404, "", "inner,outer"),
        ("/old", 308, "", "inner,outer"),
        ("/fixed", 200, "fixed", "outer"),
    ] {
        let answer = services.get(path).await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
        ensure!(answer.text().contains(text), "{path}: {answer:?}");
        let seen = answer.headers.get_all("x-gate").iter();
        let seen: Vec<_> = seen.filter_map(|value| value.to_str().ok()).collect();
        ensure!(seen.join(",") == gates, "{path}: {answer:?}");
    }
    // A middleware may answer itself.
    let denied = services.get("/hello?gate=deny").await?;
    ensure!(
        denied.status == 401 && denied.text() == "denied\n",
        "{denied:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_sees_the_client_and_the_path_behind_a_middleware() -> Result<()> {
    let settings = middleware(Settings::default(), "mw", "mw", "")?
        .module("wagi-rust", "/w/...")?
        .text("middleware = [\"mw\"]\n");
    let services = Services::start(settings, &[]).await?;
    let answer = services.ok("/w/some/path?x=1").await?;
    let text = answer.text();
    let host = format!("HTTP_HOST={}", services.host().address());
    for line in [
        &*host,
        "PATH_INFO=/some/path",
        "SCRIPT_NAME=/w",
        "X_MATCHED_ROUTE=/w/...",
        "REMOTE_ADDR=127.0.0.1",
        "QUERY_STRING=x=1",
    ] {
        ensure!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn middlewares_of_the_command_line_stand_in_front_of_a_guest_in_their_order() -> Result<()> {
    let host = Host::serve(guest("hello")?)
        .arg("--middleware")
        .arg(guest("mw")?)
        .arg("--middleware")
        .arg(guest("gate")?)
        .start()
        .await?;
    let answer = Client::new().get(host.url()).await?;
    ensure!(
        answer.status == 200 && answer.header("x-gate") == "gate",
        "{answer:?}"
    );
    let banner = host.stdout().text();
    for line in [
        "behind       mw, gate",
        "gate  (middleware)",
        "wasi:http/middleware@0.3",
    ] {
        ensure!(banner.contains(line), "{line}: {banner}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_middleware_is_refused_with_its_reason_and_place() -> Result<()> {
    for (component, said) in [
        ("hello-p2", "WASI 0.2 has no middleware"),
        ("hello", "does not import `wasi:http/handler@0.3`"),
        ("wagi-rust", "only components can be middlewares"),
    ] {
        let settings = middleware(Settings::default(), "front", component, "")?
            .component("hello", "/...", &[])?
            .text("middleware = [\"front\"]\n")
            .write()?;
        for command in ["check", "serve"] {
            let ended = Host::headwater().arg(command).arg(settings.path());
            let ended = ended.run_to_end().await?;
            let place = "middleware `front` (line 3, column 1: component =";
            refused(&ended, FAILURE, &["headwater.toml", place, said])?;
        }
        let ended = Host::serve(guest("hello")?)
            .arg("--middleware")
            .arg(guest(component)?)
            .run_to_end()
            .await?;
        refused(&ended, FAILURE, &[&format!("{component}.wasm"), said])?;
    }
    let unknown = Settings::default()
        .component("hello", "/...", &[])?
        .text("middleware = [\"auth\"]\n")
        .write()?;
    let ended = Host::headwater().arg("check").arg(unknown.path());
    refused(
        &ended.run_to_end().await?,
        FAILURE,
        &[
            "headwater.toml",
            "middleware = [\"auth\"]",
            "no middleware named `auth`",
        ],
    )?;
    let many = Host::serve(guest("hello")?).args(["--middleware=mw.wasm"; 17]);
    refused(
        &many.run_to_end().await?,
        USAGE,
        &["--middleware", "at most 16", "has 17"],
    )?;
    let file = Settings::default()
        .component("hello", "/...", &[])?
        .write()?;
    let of_file = Host::serve(file.path()).args(["--middleware", "mw.wasm"]);
    refused(
        &of_file.run_to_end().await?,
        USAGE,
        &["--middleware is for a single guest"],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_sixteen_works() -> Result<()> {
    let names = ["\"mw\""; 16].join(", ");
    let settings = middleware(Settings::default(), "mw", "mw", "")?
        .component("hello", "/...", &[])?
        .text(&format!("middleware = [{names}]\n"));
    let services = Services::start(settings, &[]).await?;
    let answer = services.ok("/").await?;
    ensure!(answer.text() == "Hello from Headwater!\n", "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_stream_through_three_links_in_bounded_memory() -> Result<()> {
    /// Buffered as a whole at any point, it would exceed the growth.
    const LARGE: usize = 100 << 20;
    const GROWTH: u64 = 64 << 20;
    let settings = middleware(Settings::default(), "mw", "mw", "")?;
    let settings = middleware(settings, "mw2", "mw2", "")?
        .component("stream", "/...", &[])?
        .text("middleware = [\"mw\", \"mw2\", \"mw\"]\n");
    let services = Services::start(settings, &[]).await?;
    let url = services.host().url();
    let pass = format!("{url}/echo?mw=pass");
    echo::with_trailers(&pass).await?;

    let process = services.host().process();
    let idle = process.rss()?;
    process.reset_peak_rss()?;
    for mode in ["pass", "copy"] {
        let url = format!("{url}/echo?mw={mode}");
        echo::unchanged(&url, LARGE).await?;
    }
    let grown = process.peak_rss()?.saturating_sub(idle);
    ensure!(grown < GROWTH, "the host grew by {grown} bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_has_a_span_and_its_outgoing_requests_hang_under_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let grant = format!("allow_outgoing = [{:?}]\n", upstream.url());
    let settings = middleware(Settings::default(), "auth", "gate", &grant)?;
    let settings = middleware(settings, "mw", "mw", "")?
        .component("fanout", "/...", &[&upstream.url()])?
        .text("middleware = [\"auth\", \"mw\"]\n")
        .write()?;
    let mut host = Host::serve(settings.path())
        .arg("--trace-file")
        .arg(&path)
        .args(["--trace-tree", "always"])
        .start()
        .await?;
    let parent = TraceParent::fresh();
    let url = format!("{}/?gate=call&k=1&wait=0&to={}", host.url(), upstream.url());
    let answer = Client::new().get_tagged(&url, "tag", &parent).await?;
    ensure!(answer.status == 200, "{answer:?}");
    host.stop().await?;

    let trace = TraceFile::read(&path)?;
    let server = trace.server_under(&parent.span_id)?;
    let child = |of: &Span, name: &str| {
        let found = trace
            .spans()
            .find(|span| span.parent_id.as_ref() == Some(&of.span_id) && span.name == name);
        found.with_context(|| format!("no `{name}` under {of:?}"))
    };
    let auth = child(server, "middleware auth")?;
    let mw = child(auth, "middleware mw")?;
    let service = child(mw, "service fanout")?;
    let of_auth = child(auth, "GET")?;
    let of_service = child(service, "GET")?;
    for (span, key, value) in [
        (auth, "headwater.middleware", Some("auth")),
        (auth, "headwater.service", Some("auth")),
        (auth, "headwater.attribution", None),
        (auth, "http.response.status_code", Some("200")),
        (mw, "headwater.middleware", Some("mw")),
        (mw, "headwater.attribution", Some("exact")),
        (mw, "headwater.attribution.witness", Some("stack+echo")),
        (service, "headwater.middleware", None),
        (service, "headwater.service", Some("fanout")),
        (service, "headwater.attribution", Some("exact")),
        (of_auth, "headwater.service", Some("auth")),
        (of_auth, "headwater.attribution", Some("exact")),
        (of_service, "headwater.service", Some("fanout")),
        (of_service, "headwater.attribution.witness", Some("stack")),
        (server, "headwater.outgoing_requests", Some("2")),
    ] {
        ensure!(span.attribute(key) == value, "{key}: {span:?}");
    }
    for span in [server, auth, mw, service, of_auth, of_service] {
        ensure!(
            span.attribute("headwater.request_id") == Some(answer.request_id()),
            "{span:?}"
        );
        ensure!(span.trace_id == parent.trace_id, "{span:?}");
    }
    let tree = host.stderr().text();
    for line in [
        "└─ middleware auth  200",
        "   ├─ GET ",
        "   └─ middleware mw  200",
        "      └─ service fanout  200",
    ] {
        ensure!(tree.contains(line), "{line}: {tree}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fault_of_a_link_is_answered_named_and_tells_if_the_service_was_reached() -> Result<()>
{
    let services = Services::start(gate("", "")?, &[]).await?;
    let log = services.host().stderr();
    for (mode, kind, reached) in [
        ("trap", "trap", false),
        ("late-trap", "trap", true),
        ("error", "bad_response", false),
        ("status", "trap", false),
        ("forbidden", "trap", false),
        ("headers", "trap", false),
    ] {
        let answer = services.get(&format!("/?gate={mode}")).await?;
        ensure!(answer.is_failure(), "{mode}: {answer:?}");
        ensure!(!answer.text().contains("gate"), "{mode}: {answer:?}");
        let id = answer.request_id();
        let line = log.wait_for(mode, |line| {
            line.contains(id) && line.contains("middleware=")
        });
        let line = line.await?;
        for said in [
            "middleware=\"gate\"",
            &format!("kind=\"{kind}\""),
            &format!("service_reached={reached}"),
        ] {
            ensure!(line.contains(said), "{mode}: {said}: {line}");
        }
    }
    // What was sent is cut, and nothing looks complete.
    for mode in ["half", "length"] {
        let answer = services.get(&format!("/?gate={mode}")).await;
        ensure!(
            answer.as_ref().map_or(true, Answer::is_failure),
            "{mode}: {answer:?}"
        );
        let line = log.wait_for(mode, |line| {
            line.contains("middleware=\"gate\"") && line.contains("bad_response")
        });
        line.await?;
    }
    services.ok("/").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_service_is_not_the_middlewares() -> Result<()> {
    let settings = middleware(Settings::default(), "mw", "mw", "max_instances = 1\n")?
        .component("faulty", "/...", &[])?
        .text("middleware = [\"mw\"]\ntimeout = \"1s\"\n");
    let services = Services::start(settings, &[]).await?;
    for (path, status) in [
        ("/trap", 500),
        ("/error", 500),
        ("/never", 504),
        ("/fine", 200),
    ] {
        let answer = services.get(path).await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
    }
    services
        .get("/late-trap")
        .await
        .expect_err("a whole answer");
    // It waited for the one that was late, and goes on.
    ensure!(services.instances("mw").started() == 1);
    ensure!(!services.host().stderr().text().contains("middleware="));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_never_answers_is_a_504_at_the_deadline_and_frees_everything() -> Result<()> {
    let one = "max_instances = 1\nmax_concurrent_per_instance = 1\n";
    let services = Services::start(gate(one, &format!("timeout = \"1s\"\n{one}"))?, &[]).await?;
    for (mode, reached) in [("hang", false), ("hang-late", true)] {
        let answer = services.get(&format!("/?gate={mode}")).await?;
        ensure!(answer.status == 504, "{mode}: {answer:?}");
        let log = services.host().stderr();
        let id = answer.request_id();
        let line = log.wait_for(mode, |line| line.contains(id) && line.contains("deadline"));
        let line = line.await?;
        let said = format!("service_reached={reached}");
        ensure!(
            line.contains("middleware=\"gate\"") && line.contains(&said),
            "{line}"
        );
        // There is room for one request only: for the next one when the instance has had its grace.
        within("room for a request", async {
            while services.get("/").await?.status != 200 {}
            anyhow::Ok(())
        })
        .await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_every_link() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Hold).await?;
    let one = "max_instances = 1\nmax_concurrent_per_instance = 1\n";
    let settings = middleware(Settings::default(), "mw", "mw", one)?;
    let settings = middleware(settings, "mw2", "mw2", one)?
        .component("fanout", "/...", &[&upstream.url()])?
        .text(&format!("middleware = [\"mw\", \"mw2\"]\n{one}"));
    let services = Services::start(settings, &[]).await?;
    for mode in ["pass", "copy"] {
        let calls = upstream.calls().len();
        let url = format!(
            "{}/?mw={mode}&k=1&wait=0&to={}",
            services.host().url(),
            upstream.url()
        );
        let leaving = tokio::spawn(async move { Client::new().get(&url).await });
        upstream.wait_for(calls + 1).await?;
        leaving.abort();
        services
            .ok(&format!("/?mw={mode}&k=0&to={}", upstream.url()))
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_link_that_fails_before_it_touched_the_request_is_passed_by() -> Result<()> {
    let settings = gate("fail = \"open\"\ntimeout = \"500ms\"\n", "")?;
    let services = Services::start(settings, &[]).await?;
    for (mode, status) in [
        ("trap", 200),
        ("hang", 200),
        ("deny", 401),
        ("error", 500),
        ("late-trap", 500),
        ("hang-late", 504),
        ("pass", 200),
    ] {
        let answer = services.get(&format!("/?gate={mode}")).await?;
        ensure!(answer.status == status, "{mode}: {answer:?}");
    }
    let log = services.host().stderr();
    log.wait_for_lines("warnings", 2, |line| line.contains("goes on without it"))
        .await?;
    // Not if it has read of the body.
    let url = format!("{}/?gate=read-trap", services.host().url());
    let request = Request::post(&url).body(full("body"))?;
    let answer = Client::new().send(request).await?;
    ensure!(answer.status == 500, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_reaches_the_service_twice_and_work_after_the_response_reaches_it_too() -> Result<()>
{
    let upstream = Upstream::start().await?;
    let settings = middleware(Settings::default(), "gate", "gate", "")?;
    let settings = middleware(settings, "mw2", "mw2", "")?
        .component("fanout", "/twice", &[&upstream.url()])?
        .text("middleware = [\"gate\"]\n")
        .component_as("late", "fanout", "/late", &[&upstream.url()])?
        .text("middleware = [\"mw2\"]\n");
    let services = Services::start(settings, &[]).await?;
    let to = upstream.url();
    let answer = services
        .ok(&format!("/twice?gate=twice&k=1&wait=0&to={to}"))
        .await?;
    ensure!(answer.text().ends_with("1 of 1 answered\n"), "{answer:?}");
    ensure!(upstream.calls().len() == 2);
    let answer = services.ok(&format!("/late?k=1&wait=0&to={to}")).await?;
    ensure!(
        answer.text().contains("answered by the middleware"),
        "{answer:?}"
    );
    upstream.wait_for(3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_variables_are_those_of_each_link_alone() -> Result<()> {
    let upstream = Upstream::start().await?;
    let settings = middleware(Settings::default(), "gate", "gate", "")?
        .component("fanout", "/...", &[&upstream.url()])?
        .text("middleware = [\"gate\"]\n");
    let services = Services::start(settings, &[]).await?;
    let path = format!("/?gate=call&k=1&wait=0&to={}", upstream.url());
    let answer = services.ok(&path).await?;
    ensure!(answer.text().ends_with("1 of 1 answered\n"), "{answer:?}");
    // The gate itself may call nobody.
    ensure!(upstream.calls().len() == 1);
    let log = services.host().stderr();
    log.wait_for("a denial", |line| {
        line.contains("denied") && line.contains("service=\"gate\"")
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_services_pass_through_the_middlewares_too() -> Result<()> {
    let settings = gate("", "")?.component("relay", "/relay", &["http://hello.internal"])?;
    let services = Services::start(settings, &[]).await?;
    let answer = services
        .get("/relay?gate=deny&to=http://hello.internal")
        .await?;
    ensure!(answer.text().contains("denied"), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_metrics_and_the_admin_listener_show_the_links() -> Result<()> {
    let settings = gate("fail = \"open\"\n", "")?.write()?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let answer = Client::new().get(host.url()).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let view = admin.json("/services").await?;
    let (service, middleware) = (&view["services"][0], &view["middlewares"][0]);
    ensure!(
        service["name"] == "hello" && service["middleware"][0] == "gate",
        "{view}"
    );
    ensure!(
        middleware["name"] == "gate" && middleware["fail"] == "open",
        "{view}"
    );
    ensure!(
        middleware["pool"]["world"] == "wasi:http/middleware@0.3",
        "{view}"
    );
    ensure!(middleware["pool"]["started"] == 1, "{view}");
    let metrics = admin.text("/metrics").await?;
    let instances = metrics.lines().any(|line| {
        line.starts_with("headwater_pool_instance_started")
            && line.contains("headwater_service=\"gate\"")
    });
    ensure!(instances, "{metrics}");

    let checked = Host::headwater()
        .args(["check", "--format", "json"])
        .arg(settings.path())
        .run_to_end()
        .await?;
    let checked: Value = serde_json::from_str(&checked.stdout)?;
    ensure!(
        checked["services"][0]["routes"][0]["middleware"][0] == "gate",
        "{checked}"
    );
    ensure!(checked["middlewares"][0]["name"] == "gate", "{checked}");
    let names: BTreeSet<_> = checked["services"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|service| service["name"].as_str())
        .collect();
    ensure!(names == BTreeSet::from(["hello"]), "{checked}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_a_chain_while_its_service_stays() -> Result<()> {
    let settings = gate("", "")?.write()?;
    let (host, admin) =
        Admin::start(Host::serve(settings.path()).args(["--log", instances::LOG])).await?;
    // One connection: another may be on a thread that gets an instance of its own.
    let client = Client::new();
    let gated = client.get(host.url()).await?;
    ensure!(gated.header("x-gate") == "gate", "{gated:?}");
    let text = fs::read_to_string(settings.path())?;
    fs::write(
        settings.path(),
        text.replace("middleware = [\"gate\"]", "middleware = []"),
    )?;
    let reload = Request::post(format!("{}/reload", admin.url())).body(empty())?;
    let reloaded = Client::new().send(reload).await?;
    ensure!(reloaded.status == 200, "{reloaded:?}");
    let bare = client.get(host.url()).await?;
    ensure!(
        bare.status == 200 && bare.header("x-gate").is_empty(),
        "{bare:?}"
    );
    let hello = instances::Instances::of("hello", host.stderr());
    ensure!(hello.started() == 1, "{}", host.stderr().text());
    // It is told, because it may be what keeps strangers out.
    let told = admin.json("/services").await?;
    let chains = &told["last_change"]["chains"];
    ensure!(*chains == serde_json::json!(["hello"]), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_to_be_told_to_go_on_is_told_when_the_service_reads() -> Result<()> {
    let Some(curl) = Curl::find() else {
        return Ok(());
    };
    let settings = middleware(Settings::default(), "gate", "gate", "")?
        .component("stream", "/...", &[])?
        .text("middleware = [\"gate\", \"gate\"]\n");
    let services = Services::start(settings, &[]).await?;
    let expects = [
        "--http1.1",
        "--header",
        "expect: 100-continue",
        "--data-binary",
        "body",
    ];
    let url = format!("{}/count", services.host().url());
    let counted = curl.ask(&[&expects[..], &[&url]].concat()).await?;
    ensure!(
        counted.status == 200 && counted.heads.contains(" 100 "),
        "{counted:?}"
    );
    // Nobody reads the body of a request that a middleware refuses.
    let refused = curl
        .ask(&[&expects[..], &[&format!("{url}?gate=deny")]].concat())
        .await?;
    ensure!(
        refused.status == 401 && !refused.heads.contains(" 100 "),
        "{refused:?}"
    );
    Ok(())
}
