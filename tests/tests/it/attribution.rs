//! Promise: every outgoing request is a child of the incoming request that it was made for.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::attribution::Ledger;
use headwater_tests::guests::guest;
use headwater_tests::load::{self, Sent};
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Host, Upstream};
use tempfile::TempDir;

const CLIENTS: usize = 32;
/// The number of sequential requests of each client.
const ROUNDS: usize = 10;
/// The number of outgoing requests of each request.
const CALLS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_from_shared_instances_are_all_right() -> Result<()> {
    // The upstream holds its answers until all clients' calls are there: then there are 32 requests
    // in fewer instances, at any speed of the machine.
    let held = Upstream::with(Behaviour::Hold).await?;
    let bench = Bench::start("fanout", &held).await?;
    let url = bench.url(&held, &format!("k={CALLS}&wait=20"));

    let all_at_once = async {
        let waiting = held.wait_for(CLIENTS * CALLS).await;
        held.release();
        waiting
    };
    let (first, waiting) = futures::join!(load::tagged("held", CLIENTS, 1, &url), all_at_once);
    waiting?;
    let instances = bench.instances();
    ensure!(
        (1..CLIENTS).contains(&instances),
        "{CLIENTS} requests at once were in {instances} instances: none was shared"
    );
    let mut sent = first?;
    sent.merge(load::tagged("free", CLIENTS, ROUNDS - 1, &url).await?);

    all_answered(&sent)?;
    bench.judge(&held, &sent.ledger, "stack").await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_made_after_the_response_are_all_right() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(5))).await?;
    let bench = Bench::start("detached", &upstream).await?;
    let url = bench.url(&upstream, &format!("k={CALLS}&wait=200"));

    let sent = load::tagged("detached", CLIENTS, ROUNDS, &url).await?;
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {}", answer.text());
        ensure!(answer.text() == format!("{tag}: answered\n"));
    }
    upstream.wait_for(CLIENTS * ROUNDS * CALLS).await?;
    bench.judge(&upstream, &sent.ledger, "stack").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_instance_has_one_request_at_a_time_and_its_work_after_the_answer_is_right()
-> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
    let serial = ["--serial", "--max-instances", "2"];
    let bench = Bench::with("detached", &upstream, &serial).await?;
    // Two concurrent requests in one instance would be confused.
    let url = bench.url(&upstream, &format!("k={CALLS}&wait=5"));

    let sent = load::tagged("serial", CLIENTS, ROUNDS, &url).await?;
    for (tag, answer) in &sent.answers {
        ensure!(answer.text() == format!("{tag}: answered\n"), "{answer:?}");
    }
    upstream.wait_for(CLIENTS * ROUNDS * CALLS).await?;
    ensure!(bench.instances() <= 2, "{} instances", bench.instances());
    bench.judge(&upstream, &sent.ledger, "sole").await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_components_of_wasi_0_2_are_all_right() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
    let bench = Bench::start("outgoing-p2", &upstream).await?;
    let url = bench.url(&upstream, &format!("k={CALLS}"));

    let sent = load::tagged("p2", CLIENTS, ROUNDS, &url).await?;
    all_answered(&sent)?;
    bench.judge(&upstream, &sent.ledger, "sole").await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_reused_instance_of_wasi_0_2_makes_after_its_answer_are_all_right()
-> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
    let reused = [
        "--max-requests-per-instance",
        "1000",
        "--max-instances",
        "1",
    ];
    let bench = Bench::with("outgoing-p2", &upstream, &reused).await?;
    let url = bench.url(&upstream, &format!("k={CALLS}&after=5"));

    let sent = load::tagged("p2", CLIENTS, ROUNDS, &url).await?;
    for (tag, answer) in &sent.answers {
        ensure!(answer.text() == format!("{tag}: answered\n"), "{answer:?}");
    }
    upstream.wait_for(CLIENTS * ROUNDS * CALLS).await?;
    ensure!(bench.instances() == 1, "{} instances", bench.instances());
    bench.judge(&upstream, &sent.ledger, "sole").await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_wagi_modules_are_all_right() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
    let bench = Bench::start("wagi-outgoing", &upstream).await?;
    let url = bench.url(&upstream, &format!("k={CALLS}"));

    let sent = load::tagged("wagi", CLIENTS, ROUNDS, &url).await?;
    all_answered(&sent)?;
    bench.judge(&upstream, &sent.ledger, "sole").await
}

struct Bench {
    host: Host,
    folder: TempDir,
}

impl Bench {
    async fn start(name: &str, upstream: &Upstream) -> Result<Self> {
        Self::with(name, upstream, &[]).await
    }

    async fn with(name: &str, upstream: &Upstream, arguments: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let host = Host::serve(guest(name)?)
            .args(["--allow-outgoing", &upstream.url()])
            .arg("--trace-file")
            .arg(folder.path().join("trace.jsonl"))
            // Logs each instance that starts, and each span that ends.
            .args(["--log", "headwater_runtime=debug,info"])
            .args(["--trace-tree", "always"])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { host, folder })
    }

    fn url(&self, upstream: &Upstream, query: &str) -> String {
        format!("{}/?to={}&{query}", self.host.url(), upstream.url())
    }

    fn instances(&self) -> usize {
        let log = self.host.stderr().lines();
        log.iter()
            .filter(|line| line.contains("instance started"))
            .count()
    }

    /// Compares the upstream's and the trace file's records with what was sent.
    async fn judge(mut self, upstream: &Upstream, ledger: &Ledger, witness: &str) -> Result<()> {
        let calls = upstream.calls();
        let counts = ledger.judge(&calls);
        ensure!(counts.all_right(CLIENTS * ROUNDS * CALLS), "{counts}");

        // The upstream sees a call before the host sees its answer.
        let tree = self.host.stderr();
        tree.wait_for_lines("the calls' spans", counts.total(), |line| {
            line.contains("/call/")
        })
        .await?;
        let status = self.host.stop().await?;
        ensure!(status.success(), "the host ended with {status}");
        let trace = TraceFile::read(self.folder.path().join("trace.jsonl"))?;
        ledger.follow(&calls, &trace, witness)?;
        ensure!(trace.servers().count() == CLIENTS * ROUNDS);
        ensure!(trace.clients().count() == CLIENTS * ROUNDS * CALLS);
        Ok(())
    }
}

fn all_answered(sent: &Sent) -> Result<()> {
    ensure!(sent.answers.len() == CLIENTS * ROUNDS);
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {}", answer.text());
        ensure!(
            answer.text() == format!("{tag}: {CALLS} of {CALLS} answered\n"),
            "{tag} was told {:?}",
            answer.text()
        );
    }
    Ok(())
}
