//! Promise: if a guest's tasks do each other's work, no call is attributed with certainty to a
//! request that it was not made for, unless the operator asked for the letter of the standard.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::admin::Admin;
use headwater_tests::attribution::Ledger;
use headwater_tests::guests::guest;
use headwater_tests::load::{self, Sent};
use headwater_tests::trace_file::{Span, TraceFile};
use headwater_tests::upstream::{Behaviour, Call};
use headwater_tests::{Host, Upstream};
use serde_json::Value;
use tempfile::TempDir;

/// The number of concurrent clients, all in one instance.
const CLIENTS: usize = 16;
/// The number of sequential requests of each. Each makes a call.
const ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_done_in_another_request_s_task_is_never_called_exact_for_that_one()
-> Result<()> {
    for how in ["worker", "worker?ends=8", "pool", "timer", "flight"] {
        let load = Load::run(how, &[]).await?;
        let seen = load.seen()?;
        ensure!(seen.wrong == 0, "{how}: {seen:?}");
        // A shared flight has one call for many requests.
        ensure!(
            how == "flight" || seen.total() == CLIENTS * ROUNDS,
            "{how}: {seen:?}"
        );
        ensure!(seen.ambiguous > 0, "{how} proves nothing: {seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_could_and_does_not_is_exact_by_the_stack() -> Result<()> {
    let load = Load::run("own", &[]).await?;
    let ledger = &load.sent.ledger;
    ledger.follow(&load.calls, &load.trace, "stack")?;
    ensure!(load.calls.len() == CLIENTS * ROUNDS);
    ensure!(load.doubts()? == [0, 0, 0, 0], "{:?}", load.services);
    ensure!(load.lines().count() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_doubt_say_why_are_counted_and_their_guest_is_told_of_once() -> Result<()> {
    let load = Load::run("worker", &[]).await?;
    let mut counted = [0_u64; 4];
    for call in &load.calls {
        let span = load.span(call)?;
        let doubt = span.attribute("headwater.attribution.doubt");
        let ambiguous = span.attribute("headwater.attribution") == Some("ambiguous");
        ensure!(doubt.is_some() == ambiguous, "{span:?}");
        let Some(doubt) = doubt else { continue };
        let reason = REASONS.iter().position(|reason| *reason == doubt);
        counted[reason.with_context(|| doubt.to_owned())?] += 1;
        let candidates = span.attribute("headwater.attribution.candidates");
        ensure!(candidates.is_some_and(|ids| !ids.is_empty()), "{span:?}");
    }
    ensure!(counted.iter().sum::<u64>() > 0);
    ensure!(counted == load.doubts()?, "{counted:?}: {}", load.services);
    for (reason, count) in REASONS.iter().zip(counted) {
        let point =
            format!("headwater_attribution_doubts_total{{headwater_attribution_doubt=\"{reason}\"");
        let line = load.metrics.lines().find(|line| line.starts_with(&point));
        let value = line.and_then(|line| line.rsplit(' ').next());
        let value: u64 = value.unwrap_or("0").parse()?;
        ensure!(
            value == count,
            "{reason}: {line:?} and not {count}\n{}",
            load.metrics
        );
    }
    let lines: Vec<_> = load.lines().collect();
    ensure!(lines.len() == 1, "{lines:?}");
    for word in ["worker", "Rust", "Scope::wrap"] {
        ensure!(lines[0].contains(word), "{}", lines[0]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_letter_of_the_standard_the_task_that_calls_is_believed() -> Result<()> {
    let load = Load::run("worker", &["--attribution", "task"]).await?;
    let seen = load.seen()?;
    ensure!(
        seen.ambiguous == 0 && seen.total() == CLIENTS * ROUNDS,
        "{seen:?}"
    );
    ensure!(seen.wrong > 0, "the other tests prove nothing: {seen:?}");
    ensure!(load.doubts()? == [0, 0, 0, 0], "{}", load.services);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time_is_exact_whatever_its_guest_does() -> Result<()> {
    // A worker that does not end would block the instance for the next request.
    let load = Load::run("timer", &["--attribution", "serial"]).await?;
    ensure!(load.calls.len() == CLIENTS * ROUNDS);
    load.sent.ledger.follow(&load.calls, &load.trace, "sole")
}

const REASONS: [&str; 4] = ["woken", "taken-over", "awaited", "outlived"];

/// The requests sent to a guest, and the results.
struct Load {
    sent: Sent,
    calls: Vec<Call>,
    trace: TraceFile,
    services: Value,
    metrics: String,
    log: Vec<String>,
}

/// The attributions of calls.
#[derive(Debug, Default)]
struct Seen {
    right: usize,
    wrong: usize,
    ambiguous: usize,
}

impl Seen {
    fn total(&self) -> usize {
        self.right + self.wrong + self.ambiguous
    }
}

impl Load {
    async fn run(how: &str, arguments: &[&str]) -> Result<Self> {
        let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
        let folder = TempDir::new()?;
        let host = Host::serve(guest("worker")?)
            .args(["--allow-outgoing", &upstream.url()])
            .args([
                "--max-instances",
                "1",
                "--max-requests-per-instance",
                "10000",
            ])
            .args(["--trace-tree", "always"])
            // The worker's task does not end, and the host would wait for it.
            .args(["--drain-timeout", "1s"])
            .arg("--trace-file")
            .arg(folder.path().join("trace.jsonl"))
            .args(arguments);
        let (mut host, admin) = Admin::start(host).await?;
        let and = if how.contains('?') { '&' } else { '?' };
        let url = format!("{}/{how}{and}to={}&wait=1", host.url(), upstream.url());
        let sent = load::tagged("doubt", CLIENTS, ROUNDS, &url).await?;
        for (tag, answer) in &sent.answers {
            ensure!(answer.status == 200, "{how}, {tag}: {}", answer.text());
        }
        let calls = upstream.calls();
        let tree = host.stderr();
        let is_call = |line: &str| line.contains("/call/");
        tree.wait_for_lines("the calls' spans", calls.len(), is_call)
            .await?;
        let services = admin.json("/services").await?;
        let metrics = admin.text("/metrics").await?;
        let status = host.stop().await?;
        ensure!(status.success(), "the host ended with {status}");
        Ok(Self {
            sent,
            calls,
            trace: TraceFile::read(folder.path().join("trace.jsonl"))?,
            services,
            metrics,
            log: host.stderr().lines(),
        })
    }

    fn span(&self, call: &Call) -> Result<&Span> {
        let seen = call.traceparent.as_ref().context("no traceparent")?;
        let span = self.trace.span(&seen.span_id);
        span.with_context(|| format!("no span of {call:?}"))
    }

    fn seen(&self) -> Result<Seen> {
        let ledger: &Ledger = &self.sent.ledger;
        let mut seen = Seen::default();
        for call in &self.calls {
            let counts = ledger.judge(std::slice::from_ref(call));
            match self.span(call)?.attribute("headwater.attribution") {
                Some("ambiguous") => seen.ambiguous += 1,
                Some("exact") if counts.right == 1 => seen.right += 1,
                _ => seen.wrong += 1,
            }
        }
        Ok(seen)
    }

    /// Returns the counts of the admin listener.
    fn doubts(&self) -> Result<[u64; 4]> {
        let counts = &self.services["services"][0]["pool"]["attribution_doubts"];
        let counts: Option<Vec<u64>> = REASONS
            .iter()
            .map(|reason| counts[*reason].as_u64())
            .collect();
        let counts = counts.and_then(|counts| counts.try_into().ok());
        counts.with_context(|| self.services.to_string())
    }

    /// Returns the log lines about a guest whose tasks wake one another.
    fn lines(&self) -> impl Iterator<Item = &String> {
        self.log
            .iter()
            .filter(|line| line.contains("tasks of the guest wake one another"))
    }
}
