//! Promise: in a component composed of several, every outgoing request is a child of the incoming
//! request that it was made for, whoever calls whom, and whoever is gone by then.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use headwater_tests::guests::guest;
use headwater_tests::host::HostBuilder;
use headwater_tests::instances::{self, Instances};
use headwater_tests::load;
use headwater_tests::trace_context::TraceParent;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Upstream};
use tempfile::TempDir;

/// A kind of wrong attribution.
pub(crate) struct Scenario {
    /// The guests, the outermost first: `mw-mw2-detached`.
    pub(crate) name: &'static str,
    pub(crate) query: &'static str,
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    /// The number of outgoing requests of each request.
    pub(crate) calls: usize,
}

// The case that the plain call stack gets wrong in up to 80 of 100 calls.
#[tokio::test(flavor = "multi_thread")]
async fn calls_made_when_middleware_and_service_have_returned_are_all_right() -> Result<()> {
    all_right("mw-detached", "wait=50", 32, 15, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_made_while_the_middleware_waits_are_all_right() -> Result<()> {
    all_right("mw-fanout", "k=5&wait=20", 32, 5, 5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_a_task_whose_caller_is_gone_is_right() -> Result<()> {
    all_right("mw2-quiet", "k=4", 32, 8, 4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_third_level_are_all_right() -> Result<()> {
    all_right("mw-mw-detached", "wait=50", 32, 15, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn late_calls_of_the_next_handler_are_all_right() -> Result<()> {
    all_right("mw-mw2-detached", "mw=late&wait=20", 32, 10, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_late_calls_at_once_are_all_right() -> Result<()> {
    all_right("mw-mw2-detached", "mw=late&n=6&wait=20", 16, 8, 6).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_a_task_whose_callers_are_all_gone_is_right() -> Result<()> {
    all_right("mw2-mw2-quiet", "k=4", 32, 8, 4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_between_the_chunks_of_a_forwarded_body_and_after_it_are_all_right() -> Result<()> {
    all_right("mw2-streamer", "mw=pass&k=8", 32, 5, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_behind_a_body_that_the_middleware_copies_are_all_right() -> Result<()> {
    all_right("mw-mw2-streamer", "mw=copy&k=8", 32, 5, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_behind_a_middleware_that_does_not_wait_are_all_right() -> Result<()> {
    all_right("mwraw-detached", "wait=50", 32, 10, 1).await
}

// The middle component calls after its caller is gone: its callee would take the caller's place,
// and the walk from there would never end.
#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_callers_neither_holds_up_the_host_nor_misleads_it() -> Result<()> {
    all_right("mw-mw2-detached", "mw=spin&wait=20", 1, 20, 1).await?;
    all_right("mw-mw2-detached", "mw=spin&wait=20", 16, 10, 1).await?;
    all_right("mwraw-mw2-detached", "mw=spin&wait=20", 1, 20, 1).await
}

// More requests than an instance serves: some retire in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_retire_take_no_attribution_with_them() -> Result<()> {
    let scenario = Scenario {
        name: "mw-mw-detached",
        query: "wait=20",
        clients: 32,
        rounds: 15,
        calls: 1,
    };
    scenario
        .run(&["--max-requests-per-instance", "20-60"])
        .await
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
    scenario.run(&[]).await
}

impl Scenario {
    /// Sends the load to the composition of the guests.
    async fn run(self, arguments: &[&str]) -> Result<()> {
        let host = Host::serve(guest(self.name)?).args(arguments.iter().copied());
        let name = self.name;
        self.load(host, name).await
    }

    /// Sends the load to the last of the guests, behind the others as middlewares.
    pub(crate) async fn run_chained(self) -> Result<()> {
        let names: Vec<_> = self.name.split('-').collect();
        let [middlewares @ .., service] = &names[..] else {
            anyhow::bail!("{} names no guests", self.name);
        };
        let mut host = Host::serve(guest(service)?);
        for middleware in middlewares {
            host = host.arg("--middleware").arg(guest(middleware)?);
        }
        self.load(host, service).await
    }

    /// Sends the load, and compares the upstream's and the trace's records with what was sent.
    async fn load(self, host: HostBuilder, service: &str) -> Result<()> {
        let requests = self.clients * self.rounds;
        let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
        let folder = TempDir::new()?;
        let mut host = host
            .args(["--allow-outgoing", &upstream.url()])
            .arg("--trace-file")
            .arg(folder.path().join("trace.jsonl"))
            .args(["--log", instances::LOG])
            .args(["--trace-tree", "always"])
            .start()
            .await?;
        let url = format!("{}/?to={}&{}", host.url(), upstream.url(), self.query);

        let sent = load::tagged(self.name, self.clients, self.rounds, &url).await?;
        for (tag, answer) in &sent.answers {
            ensure!(answer.status == 200, "{tag}: {}", answer.text());
        }
        let started = Instances::of(service, host.stderr()).started();
        ensure!(
            started < requests,
            "{requests} requests were in {started} instances: none was shared"
        );

        let calls = upstream.wait_for(requests * self.calls).await?;
        let counts = sent.ledger.judge(&calls);
        ensure!(counts.all_right(requests * self.calls), "{counts}");

        // The upstream sees a call before the host sees its answer.
        host.stderr()
            .wait_for_lines("the calls' spans", calls.len(), |line| {
                line.contains("/call/")
            })
            .await?;
        let status = host.stop().await?;
        ensure!(status.success(), "the host ended with {status}");
        let trace = TraceFile::read(folder.path().join("trace.jsonl"))?;
        sent.ledger.follow(&calls, &trace, "stack")
    }
}

// A caller that is gone when its callee returns traps the whole instance in wasmtime 48.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_to_a_caller_that_is_gone_costs_the_siblings_clean_answers_only() -> Result<()> {
    let upstream = Upstream::with(Behaviour::Answer(Duration::from_millis(2))).await?;
    let host = Host::serve(guest("mwraw-fanout")?)
        .args(["--allow-outgoing", &upstream.url()])
        .args(["--max-instances", "1", "--log", instances::LOG])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=2&wait=10", host.url(), upstream.url());
    let mut ledger = headwater_tests::attribution::Ledger::default();
    let requests: Vec<(String, TraceParent)> = (0..16)
        .map(|nth| {
            let tag = format!("left-{nth}");
            let parent = ledger.enter(&tag);
            (tag, parent)
        })
        .collect();
    let answers = join_all(
        requests
            .iter()
            .map(async |(tag, parent)| Client::new().get_tagged(&url, tag, parent).await),
    )
    .await;
    let mut ids = BTreeSet::new();
    for answer in answers {
        match answer {
            Ok(answer) => {
                let left = answer.status == 200 && answer.text() == "left alone\n";
                let clean = answer.status == 500 && answer.text().contains(answer.request_id());
                ensure!(left || clean || answer.is_refusal(), "{answer:?}");
                ensure!(ids.insert(answer.request_id().to_owned()), "{answer:?}");
            }
            // Its head was sent before the trap: the client sees that it is cut off.
            Err(error) if format!("{error:#}").contains("was cut") => {}
            Err(error) => return Err(error),
        }
    }
    Instances::of("mwraw-fanout", host.stderr())
        .wait_gone(1)
        .await?;
    let counts = ledger.judge(&upstream.calls());
    ensure!(counts.wrong == 0 && counts.unknown == 0, "{counts}");
    host.process().calm().await
}
