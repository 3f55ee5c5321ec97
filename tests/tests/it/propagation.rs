//! Promise: traces are continued, and request ids are Headwater's own.

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::{Answer, Client, Host, client};
use http::Request;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_trace_is_continued() -> Result<()> {
    let parent = TraceParent::fresh();
    let traced = exchange(&[("traceparent", &parent.to_string())]).await?;
    let server = traced.trace.server_under(&parent.span_id)?;
    ensure!(server.trace_id == parent.trace_id);
    ensure!(server.attribute("http.request.method") == Some("GET"));
    ensure!(server.attribute("url.path") == Some("/some/path"));
    ensure!(server.attribute("url.scheme") == Some("http"));
    ensure!(server.attribute("http.route") == Some("/..."));
    ensure!(server.attribute("http.response.status_code") == Some("200"));
    ensure!(!server.error);
    // The id of an answer leads a person to its span.
    ensure!(
        traced
            .values_of_the_only_server_span()?
            .contains(&traced.answer.request_id().to_owned()),
        "{server:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_trace_is_ignored() -> Result<()> {
    let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    for malformed in [
        "",
        "garbage",
        "00-abc-def-01",
        zero,
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        let traced = exchange(&[("traceparent", malformed)]).await?;
        ensure!(traced.answer.status == 200, "{malformed:?}");
        let server = traced.trace.servers().next().context("no server span")?;
        ensure!(
            server.parent_id.is_none(),
            "{malformed:?} became the parent of {server:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_of_the_client_is_kept_as_an_attribute_and_is_not_ours() -> Result<()> {
    let theirs = "client-4711.abc";
    let traced = exchange(&[("x-request-id", theirs)]).await?;
    ensure!(
        is_uuid_v7(traced.answer.request_id()),
        "{:?}",
        traced.answer.headers
    );
    ensure!(
        traced
            .values_of_the_only_server_span()?
            .contains(&theirs.to_owned())
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_id_of_the_client_is_kept_nowhere() -> Result<()> {
    let long = "x".repeat(4096);
    for malformed in ["two words", "<script>", &long] {
        let traced = exchange(&[("x-request-id", malformed)]).await?;
        ensure!(
            is_uuid_v7(traced.answer.request_id()),
            "{:?}",
            traced.answer.headers
        );
        let values = traced.values_of_the_only_server_span()?;
        ensure!(
            !values.iter().any(|value| value.contains(malformed)),
            "{malformed:?} is in the trace"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_has_a_request_id_of_its_own_whatever_its_status() -> Result<()> {
    let host = Host::serve(guest("faulty")?).start().await?;
    let client = Client::new();
    let mut ids = std::collections::HashSet::new();
    for (path, status) in [("/", 200), ("/", 200), ("/trap", 500), ("/error", 500)] {
        let answer = client.get(&format!("{}{path}", host.url())).await?;
        ensure!(answer.status == status, "{path}: {}", answer.status);
        ensure!(
            is_uuid_v7(answer.request_id()),
            "{path}: {:?}",
            answer.headers
        );
        ensure!(
            ids.insert(answer.request_id().to_owned()),
            "{path}: the same id again"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c9_what_is_malformed_or_too_large_reaches_neither_guest_nor_span_nor_log() -> Result<()> {
    let folder = TempDir::new()?;
    let (traces, log) = (folder.path().join("traces"), folder.path().join("log"));
    let mut host = Host::serve(guest("wagi-rust")?)
        .arg("--trace-file")
        .arg(&traces)
        .arg("--access-log-to")
        .arg(&log)
        .start()
        .await?;
    let parent = TraceParent::fresh();
    let (sound, long) = (parent.to_string(), "evil".repeat(5_000));
    let longer = format!("{sound}-{long}");
    let many = (0..200)
        .map(|number| format!("evil{number}=1"))
        .collect::<Vec<_>>()
        .join(",");
    let cases: [(bool, &[(&str, &str)]); 9] = [
        (
            true,
            &[
                ("tracestate", "good=1"),
                ("baggage", "good=1"),
                ("traceparent", &sound),
            ],
        ),
        (
            true,
            &[
                ("tracestate", "evil"),
                ("baggage", "evil"),
                ("traceparent", &sound),
            ],
        ),
        (
            true,
            &[
                ("tracestate", &many),
                ("baggage", &many),
                ("traceparent", &sound),
            ],
        ),
        (
            true,
            &[
                ("tracestate", &long),
                ("baggage", &long),
                ("traceparent", &sound),
            ],
        ),
        (
            false,
            &[
                ("tracestate", "evil=1"),
                ("traceparent", "00-evil-b7ad6b7169203331-01"),
            ],
        ),
        (false, &[("tracestate", "evil=1"), ("traceparent", &longer)]),
        (false, &[("traceparent", &sound), ("traceparent", &sound)]),
        (
            false,
            &[("x-request-id", "evil one"), ("x-request-id", &long)],
        ),
        (false, &[("x-request-id", "two"), ("x-request-id", "ids")]),
    ];
    let mut told = Vec::new();
    for (continued, fields) in cases {
        let mut request = Request::get(host.url());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = Client::new().send(request.body(client::empty())?).await?;
        ensure!(answer.status == 200, "{fields:?}: {}", answer.status);
        let good = fields.contains(&("baggage", "good=1"));
        ensure!(
            good == answer.text().contains("HTTP_BAGGAGE=good=1\n"),
            "{fields:?}"
        );
        ensure!(
            good == answer.text().contains("HTTP_TRACESTATE=good=1\n"),
            "{fields:?}"
        );
        ensure!(
            !answer.text().contains("evil"),
            "{fields:?}: {}",
            answer.text()
        );
        told.push((continued, answer));
    }
    host.stop().await?;
    let trace = TraceFile::read(&traces)?;
    let log = std::fs::read_to_string(&log)?;
    ensure!(!log.contains("evil") && !std::fs::read_to_string(&traces)?.contains("evil"));
    ensure!(log.lines().count() == told.len(), "{log}");
    for (continued, answer) in told {
        let id = answer.request_id();
        ensure!(is_uuid_v7(id), "{id}");
        // One id everywhere, and one trace.
        let text = answer.text();
        ensure!(
            text.contains(&format!("\nHTTP_X_REQUEST_ID={id}\n")),
            "{text}"
        );
        let (_, seen) = text
            .split_once("\nHTTP_TRACEPARENT=")
            .context("no traceparent")?;
        let seen = seen
            .lines()
            .next()
            .and_then(TraceParent::parse)
            .context("a bad one")?;
        let span = trace.span(&seen.span_id).with_context(|| text.clone())?;
        ensure!(span.trace_id == seen.trace_id, "{span:?}");
        let expected = continued.then_some(&*parent.span_id);
        ensure!(span.parent_id.as_deref() == expected, "{span:?}");
        ensure!((span.trace_id == parent.trace_id) == continued, "{span:?}");
        let line = log
            .lines()
            .find(|line| line.contains(id))
            .context("no line")?;
        ensure!(
            line.contains(&format!("\"trace_id\":\"{}\"", span.trace_id)),
            "{line}"
        );
    }
    Ok(())
}

/// Returns one answer of `hello`, and the trace file after it.
struct Traced {
    answer: Answer,
    trace: TraceFile,
}

impl Traced {
    fn values_of_the_only_server_span(&self) -> Result<Vec<String>> {
        let servers: Vec<_> = self.trace.servers().collect();
        ensure!(servers.len() == 1, "{servers:?}");
        let values = servers[0].attributes().map(|(_, value)| value.to_owned());
        Ok(values.collect())
    }
}

async fn exchange(headers: &[(&str, &str)]) -> Result<Traced> {
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let mut host = Host::serve(guest("hello")?)
        .arg("--trace-file")
        .arg(&path)
        .start()
        .await?;
    let mut request = Request::get(format!("{}/some/path?query=1", host.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = Client::new().send(request.body(client::empty())?).await?;
    ensure!(
        answer.text() == "Hello from Headwater!\n",
        "{}",
        answer.text()
    );
    host.stop().await?;
    let trace = TraceFile::read(&path)?;
    Ok(Traced { answer, trace })
}

/// RFC 9562: the version is the first digit of the third group.
fn is_uuid_v7(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
        && groups[2].starts_with('7')
}
