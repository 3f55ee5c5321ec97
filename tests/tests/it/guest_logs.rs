//! Promise: each line that a guest prints is logged whole, with its request, and within limits.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Answer, Client, Host, Upstream};
use serde_json::Value;
use tempfile::TempDir;

/// The number of concurrent clients: as many as an instance takes.
const CLIENTS: usize = 16;
/// The number of sequential requests of each client.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_concurrent_requests_print_in_pieces_are_whole_and_their_own() -> Result<()> {
    for way in ["stderr", "stream"] {
        let mut service = Service::start("chatty", &["--max-instances", "1"]).await?;
        let sent = service.send_many(&format!("/pieces?via={way}")).await?;
        let lines = service.end().await?;
        for request in &sent {
            let own = lines_of(&lines, request);
            ensure!(
                own.len() == 1 && own[0].text == format!("{} 0 1 2 3 4 end", request.tag),
                "{way}: {request:?} printed {own:?}"
            );
        }
        exact_and_no_others(&lines, &sent, CLIENTS * ROUNDS)?;
        let instances: BTreeSet<_> = lines.iter().map(|line| line.instance).collect();
        ensure!(instances.len() == 1, "not of one instance: {instances:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_concurrent_requests_print_by_println_are_their_own() -> Result<()> {
    let mut service = Service::start("chatty", &["--max-instances", "1"]).await?;
    let sent = service.send_many("/lines?via=stdout&n=3&wait=2").await?;
    let lines = service.end().await?;
    for request in &sent {
        let own = lines_of(&lines, request);
        let expected: Vec<_> = (0..3)
            .map(|i| format!("{} line {i} of 3", request.tag))
            .collect();
        let texts: Vec<_> = own.iter().map(|line| line.text.clone()).collect();
        ensure!(texts == expected, "{request:?} printed {own:?}");
        ensure!(own.iter().all(|line| line.stream == "stdout"), "{own:?}");
    }
    exact_and_no_others(&lines, &sent, 3 * CLIENTS * ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_printed_after_the_response_are_of_their_request() -> Result<()> {
    let mut service = Service::start("chatty", &["--max-instances", "1"]).await?;
    let mut sent = service.send_many("/after?via=stderr&wait=20").await?;
    sent.extend(service.send_many("/after?via=stream&wait=20").await?);
    // The host waits for such work before it exits.
    let lines = service.end().await?;
    for request in &sent {
        let own = lines_of(&lines, request);
        ensure!(
            own.len() == 1 && own[0].text == format!("{} 0 1 2 end", request.tag),
            "{request:?} printed {own:?}"
        );
    }
    exact_and_no_others(&lines, &sent, 2 * CLIENTS * ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_logged_when_its_request_is_over() -> Result<()> {
    let service = Service::start("chatty", &[]).await?;
    let request = service.send("/open-end?via=stderr", "open").await?;
    // The instance lives on: the end of the request ends the line.
    let line = service.host.stderr().wait_for("the line", |line| {
        Line::of(line).is_some_and(|line| line.text == "open and no end")
    });
    let line = Line::of(&line.await?).context("no line")?;
    ensure!(line.request_id.as_deref() == Some(request.answer.request_id()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_of_a_request_that_traps_are_logged() -> Result<()> {
    for way in ["stderr", "stream"] {
        let mut service = Service::start("chatty", &[]).await?;
        let request = service.send(&format!("/trap?via={way}"), way).await?;
        ensure!(request.answer.status == 500, "{request:?}");
        let lines = service.end().await?;
        let own = lines_of(&lines, &request);
        ensure!(
            own.len() == 1 && own[0].text == format!("{way} has last words"),
            "{way}: {lines:?}"
        );
    }
    Ok(())
}

// G12
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut_and_the_log_says_by_how_much() -> Result<()> {
    const PRINTED: usize = 20_000;
    for way in ["stderr", "stream"] {
        let mut service =
            Service::start("chatty", &["--access-log", "--max-instances", "1"]).await?;
        let flood = service
            .send(&format!("/flood?via={way}&n={PRINTED}"), "flood")
            .await?;
        let quiet = service.send("/lines?n=3", "quiet").await?;
        ensure!(flood.answer.status == 200, "{flood:?}");
        let lines = service.end().await?;

        let own = lines_of(&lines, &flood);
        let (notices, logged): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|line| line.dropped.is_some());
        let dropped: u64 = notices.iter().filter_map(|notice| notice.dropped).sum();
        ensure!(
            logged.len() < PRINTED / 2 && logged.len() + usize::try_from(dropped)? == PRINTED,
            "{} logged, {dropped} dropped by {notices:?}",
            logged.len()
        );
        // Later lines are dropped.
        ensure!(logged[0].text == "flood flood 0", "{:?}", logged[0]);
        ensure!(lines_of(&lines, &quiet).len() == 3);

        let access = service.access(&flood)?;
        ensure!(access["log_lines"] == logged.len(), "{access}");
    }
    Ok(())
}

// G12
#[tokio::test(flavor = "multi_thread")]
async fn output_without_an_end_of_line_is_cut_into_lines_and_bounded() -> Result<()> {
    for way in ["stderr", "stdout", "stream"] {
        let mut service = Service::start("chatty", &[]).await?;
        let path = format!("/endless?via={way}&n=1048576");
        let request = service.send(&path, "endless").await?;
        let lines = service.end().await?;
        let own = lines_of(&lines, &request);
        ensure!(
            own.len() > 2 && own.len() < 40,
            "{way}: {} lines",
            own.len()
        );
        ensure!(own.iter().all(|line| line.text.len() <= 8 << 10));
        ensure!(
            own.iter().any(|line| line.dropped.is_some()),
            "{way}: nothing says that lines were left out"
        );
        exact_and_no_others(&lines, &[request], own.len())?;
    }
    Ok(())
}

// G12
#[tokio::test(flavor = "multi_thread")]
async fn control_characters_and_bytes_that_are_no_text_are_escaped() -> Result<()> {
    const ESCAPED: &str =
        "binary \\u{1b}[2J\\u{1b}]0;title\\u{7} \\u{0} \\u{202e}\\u{9b}\u{fffd}\u{fffd}";
    for way in ["stderr", "stdout", "stream"] {
        let mut service = Service::start("chatty", &[]).await?;
        let request = service
            .send(&format!("/binary?via={way}"), "binary")
            .await?;
        let lines = service.end().await?;
        let own = lines_of(&lines, &request);
        ensure!(own.len() == 1 && own[0].text == ESCAPED, "{way}: {own:?}");

        let mut service = Service::with_format("chatty", "text", &[]).await?;
        service
            .send(&format!("/binary?via={way}"), "binary")
            .await?;
        service.end().await?;
        let log = service.host.stderr().text();
        ensure!(log.contains(ESCAPED), "{log}");
        let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        ensure!(!log.contains(raw), "{log:?}");
    }
    Ok(())
}

// G12
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_looks_like_a_record_of_another_request_is_none() -> Result<()> {
    for way in ["stderr", "stream"] {
        let mut service = Service::start("chatty", &[]).await?;
        let victim = service.send("/lines?n=1", "victim").await?;
        let id = victim.answer.request_id();
        let forger = service
            .send(&format!("/forge?via={way}&id={id}"), "forger")
            .await?;
        let lines = service.end().await?;
        ensure!(lines_of(&lines, &victim).len() == 1, "{lines:?}");
        ensure!(lines_of(&lines, &forger).len() == 4, "{lines:?}");
        exact_and_no_others(&lines, &[victim, forger], 5)?;
    }
    Ok(())
}

// G12
#[tokio::test(flavor = "multi_thread")]
async fn as_text_a_line_begins_with_the_id_of_its_own_request() -> Result<()> {
    let mut service = Service::with_format("chatty", "text", &[]).await?;
    let victim = service.send("/lines?n=1", "victim").await?;
    let id = victim.answer.request_id();
    let forger = service.send(&format!("/forge?id={id}"), "forger").await?;
    service.end().await?;
    let log = service.host.stderr().lines();
    let of = |request: &Sent| -> Vec<&String> {
        let id = request.answer.request_id();
        let mark = format!(" INFO {id} chatty/0 stderr | ");
        log.iter()
            .filter(|line| {
                line.split_once('T').is_some_and(|(_, rest)| {
                    rest.split_once(' ').is_some_and(|(_, rest)| {
                        format!(" {}", rest.trim_start()).starts_with(&mark)
                    })
                })
            })
            .collect()
    };
    ensure!(of(&victim).len() == 1, "{log:#?}");
    ensure!(of(&forger).len() == 4, "{log:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_0_2_guest_are_of_their_request() -> Result<()> {
    let arguments = [
        "--max-requests-per-instance",
        "1000",
        "--max-instances",
        "2",
    ];
    let mut service = Service::start("chatty-p2", &arguments).await?;
    let sent = service.send_many("/").await?;
    let lines = service.end().await?;
    for request in &sent {
        let tag = &request.tag;
        let texts: BTreeSet<_> = lines_of(&lines, request)
            .iter()
            .map(|line| (line.stream.clone(), line.text.clone()))
            .collect();
        let expected = [
            ("stderr".to_owned(), format!("{tag} 0 1 2 end")),
            ("stderr".to_owned(), format!("{tag} and no end")),
            ("stdout".to_owned(), format!("{tag} line 0 of 1")),
        ];
        ensure!(texts == BTreeSet::from(expected), "{request:?}: {texts:?}");
    }
    exact_and_no_others(&lines, &sent, 3 * CLIENTS * ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_by_another_request_s_stream_is_not_taken_for_that_one_s() -> Result<()> {
    let mut service = Service::start("chatty", &["--max-instances", "1"]).await?;
    let opener = service.send("/shared", "opener").await?;
    let other = service.send("/shared", "other").await?;
    let lines = service.end().await?;
    let [own] = lines_of(&lines, &opener)[..] else {
        bail!("not one line: {lines:?}");
    };
    ensure!(
        own.text == "opener shares" && own.verdict == "exact",
        "{own:?}"
    );
    let others: Vec<_> = lines
        .iter()
        .filter(|line| line.text == "other shares")
        .collect();
    ensure!(others.len() == 1, "{lines:?}");
    ensure!(
        others[0].verdict == "ambiguous" && others[0].request_id.is_none(),
        "{others:?}"
    );
    ensure!(lines_of(&lines, &other).is_empty(), "{lines:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpu_time_of_a_request_that_computes_is_in_its_access_record_and_on_its_span()
-> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("trace.jsonl");
    let trace = file.to_str().context("a path that is no text")?;
    let mut service = Service::start("faulty", &["--access-log", "--trace-file", trace]).await?;
    let computes = service.send("/compute?ms=40", "computes").await?;
    ensure!(computes.answer.status == 200, "{computes:?}");
    service.end().await?;
    let access = service.access(&computes)?;
    let cpu = access["cpu_us"].as_u64().context("no cpu_us")?;
    ensure!(
        cpu > 0 && Some(cpu) <= access["total_us"].as_u64(),
        "{access}"
    );
    let trace = TraceFile::read(&file)?;
    let span = trace.servers().next().context("no server span")?;
    let nanos = span
        .attribute("headwater.cpu_nanos")
        .context("no CPU time")?;
    ensure!(nanos.parse::<u64>()? / 1_000 == cpu, "{nanos}: {access}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_accounted_for_in_its_access_record() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(std::time::Duration::ZERO)).await?;
    let arguments = ["--allow-outgoing", &upstream.url(), "--access-log"];
    let mut service = Service::start("fanout", &arguments).await?;
    let path = format!("/?to={}&k=3&wait=1", upstream.url());
    let request = service.send(&path, "counted").await?;
    service.end().await?;
    let access = service.access(&request)?;
    for (field, expected) in [
        ("service", Value::from("fanout")),
        ("trace_id", Value::from(&*request.parent.trace_id)),
        ("method", Value::from("GET")),
        ("path", Value::from("/")),
        ("status", Value::from(200)),
        ("outgoing_requests", Value::from(3)),
        // Each upstream answers with one line.
        (
            "outgoing_received_bytes",
            Value::from(3 * "answer of the upstream\n".len()),
        ),
        ("outgoing_sent_bytes", Value::from(0)),
        ("response_bytes", Value::from(request.answer.body.len())),
    ] {
        ensure!(access[field] == expected, "{field}: {access}");
    }
    ensure!(access["total_us"].as_u64() >= access["first_byte_us"].as_u64());

    let mut silent = Service::start("chatty", &[]).await?;
    silent.send("/", "silent").await?;
    silent.end().await?;
    let log = silent.host.stderr().text();
    ensure!(!log.contains("headwater::access"), "{log}");
    Ok(())
}

/// Checks that each line belongs to one of these requests, and that there are no more.
fn exact_and_no_others(lines: &[Line], sent: &[Sent], count: usize) -> Result<()> {
    let by_id: BTreeMap<_, _> = sent
        .iter()
        .map(|request| (request.answer.request_id(), request))
        .collect();
    ensure!(by_id.len() == sent.len(), "request ids are not unique");
    for line in lines {
        let request = line.request_id.as_deref().and_then(|id| by_id.get(id));
        let request = request.with_context(|| format!("nobody's: {line:?}"))?;
        ensure!(line.verdict == "exact", "{line:?}");
        ensure!(
            line.trace_id.as_deref() == Some(&request.parent.trace_id),
            "another trace: {line:?} of {request:?}"
        );
    }
    ensure!(lines.len() == count, "{} lines, not {count}", lines.len());
    Ok(())
}

fn lines_of<'a>(lines: &'a [Line], request: &Sent) -> Vec<&'a Line> {
    let id = request.answer.request_id();
    lines
        .iter()
        .filter(|line| line.request_id.as_deref() == Some(id))
        .collect()
}

#[derive(Debug)]
struct Sent {
    tag: String,
    parent: TraceParent,
    answer: Answer,
}

/// A line of a guest in the JSON log.
#[derive(Debug)]
struct Line {
    text: String,
    request_id: Option<String>,
    trace_id: Option<String>,
    instance: Option<u64>,
    stream: String,
    verdict: String,
    /// The number of dropped lines, if this line reports it.
    dropped: Option<u64>,
}

impl Line {
    fn of(line: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(line).ok()?;
        if record["target"] != "headwater::guest" {
            return None;
        }
        let fields = &record["fields"];
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        Some(Self {
            text: text("message")?,
            request_id: text("request_id"),
            trace_id: text("trace_id"),
            instance: fields["instance"].as_u64(),
            stream: text("stream").unwrap_or_default(),
            verdict: text("headwater.attribution").unwrap_or_default(),
            dropped: fields["dropped_lines"].as_u64(),
        })
    }
}

struct Service {
    host: Host,
}

impl Service {
    async fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        Self::with_format(name, "json", arguments).await
    }

    async fn with_format(name: &str, format: &str, arguments: &[&str]) -> Result<Self> {
        let host = Host::serve(guest(name)?)
            .args(["--log-format", format, "--trace-tree", "never"])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { host })
    }

    async fn send(&self, path: &str, tag: &str) -> Result<Sent> {
        self.send_by(&Client::new(), path, tag).await
    }

    async fn send_by(&self, client: &Client, path: &str, tag: &str) -> Result<Sent> {
        let parent = TraceParent::fresh();
        let url = format!("{}{path}", self.host.url());
        let answer = client.get_tagged(&url, tag, &parent).await?;
        Ok(Sent {
            tag: tag.to_owned(),
            parent,
            answer,
        })
    }

    /// Sends requests from all clients at once, in all rounds.
    async fn send_many(&self, path: &str) -> Result<Vec<Sent>> {
        let each = try_join_all((0..CLIENTS).map(async |number| {
            let client = Client::new();
            let mut sent = Vec::new();
            for round in 0..ROUNDS {
                let tag = format!("tag-{number}-{round}");
                let request = self.send_by(&client, path, &tag).await?;
                ensure!(request.answer.status == 200, "{request:?}");
                sent.push(request);
            }
            Ok(sent)
        }))
        .await?;
        Ok(each.into_iter().flatten().collect())
    }

    /// Ends the host, so that all lines are logged, and returns the guest's lines.
    async fn end(&mut self) -> Result<Vec<Line>> {
        self.host.stop().await?;
        let lines = self.host.stderr().lines();
        Ok(lines.iter().filter_map(|line| Line::of(line)).collect())
    }

    /// Returns the fields of a request's access record.
    fn access(&self, request: &Sent) -> Result<Value> {
        let lines = self.host.stderr().lines();
        let records = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut own = records.filter(|record| {
            record["target"] == "headwater::access"
                && record["request_id"] == request.answer.request_id()
        });
        let record = own.next().context("no access record")?;
        ensure!(own.next().is_none(), "two access records");
        Ok(record)
    }
}
