//! Promise: services of one host call each other by name, without the network, and otherwise as if
//! over it.

use anyhow::{Context, Result, ensure};
use headwater_tests::client::{Answer, empty};
use headwater_tests::settings::Settings;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::{Client, Services, echo, within};
use http::Request;
use http_body_util::BodyExt;
use tempfile::TempDir;

/// Settings of `relay` at every path, which may call all services.
fn relay() -> Result<Settings> {
    Settings::default().component("relay", "/...", &["*.internal"])
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_every_kind_are_called_by_name_and_see_the_path_as_it_was_sent() -> Result<()> {
    let settings = relay()?
        .component("hello", "/h", &[])?
        .component("chatty-p2", "/c/...", &[])?
        .module("wagi-rust", "/w/...")?;
    let services = Services::start(settings, &[]).await?;
    let answer = services.ok("/?to=http://hello.internal").await?;
    ensure!(answer.text() == "Hello from Headwater!\n", "{answer:?}");
    let answer = services
        .ok("/any/path?to=http://chatty-p2.internal")
        .await?;
    ensure!(answer.text() == ": printed\n", "{answer:?}");

    let answer = services
        .ok("/some/path?x=1&to=http://WAGI-rust.internal")
        .await?;
    let text = answer.text();
    for line in [
        "HTTP_HOST=WAGI-rust.internal",
        "PATH_INFO=/some/path",
        "SCRIPT_NAME=/",
        "SERVER_NAME=WAGI-rust.internal",
        "SERVER_PORT=80",
        "X_MATCHED_ROUTE=/...",
        "REMOTE_ADDR=",
    ] {
        ensure!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_0_2_call_services_too() -> Result<()> {
    let settings = Settings::default()
        .component("outgoing-p2", "/...", &["http://hello.internal"])?
        .component("hello", "/h", &[])?;
    let services = Services::start(settings, &[]).await?;
    let answer = services.ok("/?to=http://hello.internal&k=3").await?;
    ensure!(answer.text() == ": 3 of 3 answered\n", "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_or_not_there_is_an_error_for_the_guest() -> Result<()> {
    let settings = Settings::default()
        .component(
            "relay",
            "/...",
            &["http://*.internal", "https://hello.internal"],
        )?
        .component_as("all", "relay", "/all/...", &["*"])?
        .component_as("none", "relay", "/none/...", &[])?
        .component("hello", "/h", &[])?;
    let services = Services::start(settings, &[]).await?;
    for (path, code, said) in [
        ("/none/?to=http://hello.internal", "HttpRequestDenied", ""),
        // This allows only everything outside.
        ("/all/?to=http://hello.internal", "HttpRequestDenied", ""),
        (
            "/?to=http://nobody.internal",
            "DnsError",
            "no service of this host has that name; there are http://all.internal, \
             http://hello.internal, http://none.internal, http://relay.internal",
        ),
        (
            "/none/?to=http://nobody.internal",
            "HttpRequestDenied",
            "are not granted to this service: no service of this host has that name; there are",
        ),
        (
            "/?to=https://hello.internal",
            "write http://",
            "write http://",
        ),
    ] {
        let answer = services.get(path).await?;
        ensure!(answer.status == 502, "{path}: {answer:?}");
        ensure!(answer.text().contains(code), "{path}: {}", answer.text());
        let log = services.host().stderr();
        log.wait_for(said, |line| line.contains(said)).await?;
    }
    services.ok("/?to=http://hello.internal").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_in_case_alone_are_refused_at_start() -> Result<()> {
    let settings = Settings::default()
        .component_as("Shop", "hello", "/a", &[])?
        .component_as("shop", "hello", "/b", &[])?
        .write()?;
    let ended = headwater_tests::Host::serve(settings.path())
        .run_to_end()
        .await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(
        ended.stderr.contains("`Shop` and `shop`") && ended.stderr.contains("rename"),
        "{}",
        ended.stderr
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_on_and_each_request_has_its_own_id_span_and_access_record() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let settings = relay()?.component("hello", "/h", &[])?.write()?;
    let mut host = headwater_tests::Host::serve(settings.path())
        .arg("--access-log")
        .arg("--trace-file")
        .arg(&path)
        .start()
        .await?;
    let parent = TraceParent::fresh();
    let url = format!("{}/p?to=http://hello.internal", host.url());
    let answer = Client::new().get_tagged(&url, "", &parent).await?;
    ensure!(answer.status == 200, "{answer:?}");
    host.stop().await?;

    let trace = TraceFile::read(&path)?;
    let outer = trace.server_under(&parent.span_id)?;
    let client = trace.clients().next().context("no client span")?;
    let inner = trace.server_under(&client.span_id)?;
    ensure!(client.parent_id.as_deref() == Some(&*outer.span_id));
    ensure!(
        [client, inner]
            .iter()
            .all(|span| span.trace_id == parent.trace_id)
    );
    ensure!(trace.servers().count() == 2 && trace.clients().count() == 1);
    for (span, key, value) in [
        (
            client,
            "url.full",
            "http://hello.internal/p?to=http://hello.internal",
        ),
        (client, "server.address", "hello.internal"),
        (client, "http.response.status_code", "200"),
        (inner, "server.address", "hello.internal"),
        (inner, "url.path", "/p"),
        (inner, "http.route", "/..."),
        (inner, "http.request.method", "GET"),
        (inner, "http.response.status_code", "200"),
        (inner, "headwater.service", "hello"),
        (inner, "headwater.caller.service", "relay"),
    ] {
        ensure!(span.attribute(key) == Some(value), "{key}: {span:?}");
    }
    let id = |span: &headwater_tests::trace_file::Span| {
        let id = span.attribute("headwater.request_id").map(str::to_owned);
        id.with_context(|| format!("no id: {span:?}"))
    };
    let (outer_id, inner_id) = (id(outer)?, id(inner)?);
    ensure!(outer_id != inner_id);
    ensure!(inner.attribute("headwater.caller.request_id") == Some(&*outer_id));
    // The guest passes on the answer it gets, but the front names its own request.
    ensure!(answer.request_id() == outer_id);

    let log = host.stderr().text();
    let record = log.lines().find(|line| {
        line.contains("headwater::access")
            && line.contains(&format!("\"request_id\":\"{inner_id}\""))
    });
    let record = record.with_context(|| format!("no access record of {inner_id}: {log}"))?;
    ensure!(
        record.contains(&format!("\"caller_request_id\":\"{outer_id}\""))
            && record.contains("hello"),
        "{record}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_stream_through_in_bounded_memory() -> Result<()> {
    /// Buffered as a whole at any point, it would exceed the growth.
    const LARGE: usize = 100 << 20;
    const GROWTH: u64 = 90 << 20;
    let services = Services::start(relay()?.component("stream", "/s", &[])?, &[]).await?;
    let url = format!("{}/echo?to=http://stream.internal", services.host().url());

    echo::with_trailers(&url).await?;

    let process = services.host().process();
    let idle = process.rss()?;
    process.reset_peak_rss()?;
    echo::unchanged(&url, LARGE).await?;
    let grown = process.peak_rss()?.saturating_sub(idle);
    ensure!(grown < GROWTH, "the host grew by {grown} bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_what_a_client_would_have_seen() -> Result<()> {
    let settings = relay()?
        .component("faulty", "/f", &[])?
        .text("timeout = \"1s\"\n")
        .component_as("full", "faulty", "/g", &[])?
        .text("max_instances = 1\nmax_concurrent_per_instance = 1\nmax_queue = 1\n")
        .text("queue_timeout = \"1ms\"\n");
    let services = Services::start(settings, &[]).await?;
    for (path, status) in [
        ("/trap", 500),
        ("/error", 500),
        ("/never", 504),
        ("/fine", 200),
    ] {
        let answer = services
            .get(&format!("{path}?to=http://faulty.internal"))
            .await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
    }
    // A body that is cut off inside is cut off outside.
    services
        .get("/late-trap?to=http://faulty.internal")
        .await
        .expect_err("a whole answer");

    let url = format!("{}/never?to=http://full.internal", services.host().url());
    // It may be refused at first, while the instance starts or has one of the requests below.
    let never = tokio::spawn(async move {
        loop {
            let answer = Client::new().get(&url).await;
            if !answer.as_ref().is_ok_and(Answer::is_refusal) {
                return answer;
            }
        }
    });
    services.instances("full").wait_started(1).await?;
    let refused = within("a refusal", async {
        loop {
            let answer = services.get("/instance?to=http://full.internal").await?;
            if answer.status != 200 {
                return anyhow::Ok(answer);
            }
        }
    });
    let refused = refused.await??;
    ensure!(refused.is_refusal(), "{refused:?}");
    never.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_s_deadline_is_the_other_service_s_too() -> Result<()> {
    let settings = relay()?
        .text("timeout = \"1s\"\n")
        .component("faulty", "/f", &[])?
        .text("timeout = \"600s\"\n");
    let services = Services::start(settings, &["--access-log"]).await?;
    let answer = services.get("/never?to=http://faulty.internal").await?;
    ensure!(answer.status == 504, "{answer:?}");
    // It is over now, rather than ten minutes later.
    let log = services.host().stderr();
    log.wait_for("the access record of the inner request", |line| {
        line.contains("headwater::access") && line.contains("caller_service")
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_the_request_behind_the_one_that_it_made() -> Result<()> {
    let services =
        Services::start(relay()?.component("stream", "/s", &[])?, &["--access-log"]).await?;
    let url = format!(
        "{}/ticks?n=1000000&every=10&to=http://stream.internal",
        services.host().url()
    );
    let mut response = Client::new().open(Request::get(url).body(empty())?).await?;
    let first = within("the first event", response.frame()).await?;
    first.context("no event")??;
    drop(response);
    let log = services.host().stderr();
    log.wait_for("the end of the inner request", |line| {
        line.contains("headwater::access")
            && line.contains("caller_service")
            && line.contains("client_closed")
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_service_hold_for_other_services_and_for_clients_together() -> Result<()> {
    let settings = relay()?
        .component("hello", "/hello", &[])?
        .text("rate = \"2/h\"\n");
    let services = Services::start(settings, &[]).await?;
    let within = "/?to=http://hello.internal";
    for (path, status) in [
        (within, 200),
        ("/hello", 200),
        (within, 429),
        ("/hello", 429),
    ] {
        let answer = services.get(path).await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
        let waits = answer.headers.contains_key("retry-after");
        ensure!(waits == (status == 429), "{path}: {answer:?}");
    }
    Ok(())
}
