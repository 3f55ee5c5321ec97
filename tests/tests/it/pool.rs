//! Promise: a service's instances and queue are limited, and requests that exceed the limits are
//! refused; a guest under backpressure gets nothing, and blocks no other.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use futures::stream::FuturesUnordered;
use headwater_tests::guests::guest;
use headwater_tests::instances::{self, Instances};
use headwater_tests::settings::Settings;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Answer, Client, Host, Services, Upstream, load};
use serde_json::Value;

/// One request at a time in one instance, with timeouts too long to matter.
const ONE_AT_A_TIME: [&str; 8] = [
    "--max-instances",
    "1",
    "--max-concurrent-per-instance",
    "1",
    "--timeout",
    "600s",
    "--log",
    instances::LOG,
];

// G13
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_under_backpressure_gets_no_more_instances_than_the_bound() -> Result<()> {
    let host = Host::serve(guest("backpressure")?)
        .args(["--max-instances", "3", "--log", instances::LOG])
        .start()
        .await?;
    let sent = load::tagged("b", 40, 1, &format!("{}/?wait=20", host.url())).await?;

    let mut seen = BTreeSet::new();
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {}", answer.text());
        let report: Value = serde_json::from_slice(&answer.body)?;
        ensure!(report["highest"] == 1, "{tag}: {report}");
        seen.insert(report["instance"].to_string());
    }
    ensure!(sent.answers.len() == 40);
    ensure!((2..=3).contains(&seen.len()), "{seen:?}");
    let started = Instances::of("backpressure", host.stderr()).started();
    ensure!(started <= 3, "{started} instances were started");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_those_in_it_are_served() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let one = OneAtATime::start(&held, &["--max-queue", "2", "--queue-timeout", "600s"]).await?;
    let inside = one.request();
    held.wait_for(1).await?;

    let mut more: FuturesUnordered<_> = (0..5).map(|_| one.request()).collect();
    for _ in 0..3 {
        // Now only the full queue can end a request.
        let answer = more.next().await.context("no answer")???;
        ensure!(answer.is_refusal(), "{answer:?}");
        let id = answer.request_id();
        ensure!(!id.is_empty() && answer.text().contains(id), "{answer:?}");
    }
    held.release();
    ensure!(inside.await??.status == 200);
    while let Some(answer) = more.next().await {
        let answer = answer??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_too_long_in_the_queue_is_refused() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let one = OneAtATime::start(&held, &["--queue-timeout", "300ms"]).await?;
    let inside = one.request();
    held.wait_for(1).await?;

    let late = one.request().await??;
    ensure!(late.is_refusal(), "{late:?}");
    // The guest never got it.
    ensure!(held.calls().len() == 1);
    held.release();
    ensure!(inside.await??.status == 200);
    ensure!(one.request().await??.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_misses_its_deadline_in_the_queue_is_answered() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let settings = Settings::default()
        .component("fanout", "/...", &[&held.url()])?
        .text("max_instances = 1\nmax_concurrent_per_instance = 1\nqueue_timeout = \"600s\"\n")
        .write()?;
    let host = Host::serve(settings.path())
        .args(["--timeout", "1s"])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1&wait=0", host.url(), held.url());
    // The deadline of the one inside is no later than that of the others.
    let answers = try_join_all((0..3).map(|_| async { Client::new().get(&url).await })).await?;
    for answer in &answers {
        let late = answer.status == 504 || answer.is_refusal();
        ensure!(late, "{answer:?}");
    }
    ensure!(answers.iter().any(|answer| answer.status == 504));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_work_that_another_left_behind_is_told_what_it_waited_for()
-> Result<()> {
    // The status tells which timeout expired first.
    for (queue_timeout, timeout, status) in [("300ms", "600s", 503), ("600s", "300ms", 504)] {
        let arguments = [
            "--serial",
            "--max-instances=1",
            "--post-return-timeout=600s",
            &format!("--queue-timeout={queue_timeout}"),
            &format!("--timeout={timeout}"),
        ];
        let services = Services::faulty(&arguments).await?;
        // If the instance has to start, the answer may take longer than the timeout.
        let first = services.get("/respond-and-stay").await?;
        if first.status != 200 {
            continue;
        }
        let next = services.get("/").await?;
        ensure!(next.status == status, "{next:?}");
        if status == 503 {
            let said = "still works for requests that were answered";
            ensure!(next.text().contains(said), "{next:?}");
        }
        let id = next.request_id();
        let log = services.host().stderr();
        log.wait_for("a line that names the work and the settings", |line| {
            let words = [id, "left behind", "`post_return_timeout`", "`serial`"];
            words.iter().all(|word| line.contains(word))
        })
        .await?;
    }
    Ok(())
}

// G13
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_lets_go_starves_nobody_but_itself() -> Result<()> {
    let settings = Settings::default()
        .component("faulty", "/...", &[])?
        .text("max_instances = 2\nmax_queue = 4\nqueue_timeout = \"300ms\"\n")
        .component("hello", "/hello", &[])?
        .write()?;
    let host = Host::serve(settings.path())
        .args(["--timeout", "600s", "--log", instances::LOG])
        .start()
        .await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", host.url())).await;
    for _ in 0..2 {
        let answer = get("/hold").await?;
        ensure!(answer.status == 200, "{answer:?}");
    }

    // More than the queue takes: some are refused at once, some after waiting.
    let (refused, others) = futures::try_join!(
        try_join_all((0..10).map(|_| get("/"))),
        try_join_all((0..20).map(|_| get("/hello"))),
    )?;
    for answer in &refused {
        ensure!(answer.is_refusal(), "{answer:?}");
    }
    for answer in &others {
        ensure!(answer.status == 200, "{answer:?}");
    }
    let instances = Instances::of("faulty", host.stderr());
    instances.wait_started(2).await?;
    Ok(())
}

// G13
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_lets_go_ends_with_the_post_return_timeout() -> Result<()> {
    recovers("/hold", &["--post-return-timeout", "500ms"]).await
}

// G13
#[tokio::test(flavor = "multi_thread")]
async fn backpressure_that_was_left_behind_ends_with_the_idle_timeout() -> Result<()> {
    recovers("/hold-and-leave", &["--idle-timeout", "500ms"]).await
}

/// Checks that after `path`, which holds backpressure for ever, the only instance is replaced.
async fn recovers(path: &str, arguments: &[&str]) -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args(["--max-instances", "1", "--timeout", "600s"])
        .args(["--queue-timeout", "600s", "--log", instances::LOG])
        .args(arguments)
        .start()
        .await?;
    let get = async |path: &str| Client::new().get(&format!("{}{path}", host.url())).await;
    ensure!(get(path).await?.status == 200);
    let next = get("/").await;
    let next = next.with_context(|| format!("the log:\n{}", host.stderr().text()))?;
    ensure!(next.status == 200, "{next:?}");
    Instances::of("faulty", host.stderr())
        .wait_started(2)
        .await?;
    Ok(())
}

// G13
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_under_backpressure_sends_those_that_waited_to_another_instance() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let host = Host::serve(guest("faulty")?)
        .args(["--allow-outgoing", &held.url(), "--max-instances", "1"])
        .args(["--max-queue", "5", "--queue-timeout", "600s"])
        .args(["--timeout", "600s", "--log", instances::LOG])
        .start()
        .await?;
    let get = |path: String| {
        let url = format!("{}{path}", host.url());
        tokio::spawn(async move { Client::new().get(&url).await })
    };
    let doomed = get(format!("/hold-and-trap?to={}", held.url()));
    held.wait_for(1).await?;

    let mut waiting: FuturesUnordered<_> = (0..6).map(|_| get("/".to_owned())).collect();
    // One too many: once it is refused, the others are in the queue.
    let refused = waiting.next().await.context("no answer")???;
    ensure!(refused.is_refusal(), "{refused:?}");
    held.release();
    let doomed = doomed.await??;
    ensure!(doomed.status == 500, "{doomed:?}");
    while let Some(answer) = waiting.next().await {
        let answer = answer??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Instances::of("faulty", host.stderr())
        .wait_started(2)
        .await?;
    Ok(())
}

// G13
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_toggles_backpressure_loses_no_request() -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args(["--max-instances", "2", "--log", instances::LOG])
        .start()
        .await?;
    let toggle = format!("{}/toggle?n=100", host.url());
    let (toggles, others) = futures::try_join!(
        load::tagged("t", 8, 3, &toggle),
        load::tagged("o", 8, 10, host.url()),
    )?;
    for (tag, answer) in toggles.answers.iter().chain(&others.answers) {
        ensure!(answer.status == 200, "{tag}: {answer:?}");
    }
    let started = Instances::of("faulty", host.stderr()).started();
    ensure!(started <= 2, "{started} instances were started");
    Ok(())
}

// G14
#[tokio::test(flavor = "multi_thread")]
async fn each_of_sixteen_requests_in_an_instance_that_traps_gets_its_own_answer() -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args([
            "--max-instances",
            "1",
            "--max-concurrent-per-instance",
            "16",
        ])
        .args(["--timeout", "600s", "--log", instances::LOG])
        .start()
        .await?;
    // The guest traps when all sixteen are inside.
    let url = format!("{}/trap-together?n=16", host.url());
    let answers = join_all((0..16).map(|_| async { Client::new().get(&url).await })).await;
    let mut ids = BTreeSet::new();
    for answer in answers {
        let answer = answer.with_context(|| format!("the log:\n{}", host.stderr().text()))?;
        ensure!(answer.status == 500, "{answer:?}");
        let id = answer.request_id().to_owned();
        ensure!(answer.text().contains(&id), "{answer:?}");
        ids.insert(id);
    }
    ensure!(ids.len() == 16, "ids of other requests: {ids:?}");
    let later = Client::new().get(host.url()).await?;
    ensure!(later.status == 200, "{later:?}");
    Instances::of("faulty", host.stderr())
        .wait_started(2)
        .await?;
    Ok(())
}

/// Starts a host that runs `fanout` in one instance, one request at a time, and calls one upstream.
struct OneAtATime {
    host: Host,
    url: String,
}

impl OneAtATime {
    async fn start(upstream: &Upstream, arguments: &[&str]) -> Result<Self> {
        let host = Host::serve(guest("fanout")?)
            .args(ONE_AT_A_TIME)
            .args(["--allow-outgoing", &upstream.url()])
            .args(arguments)
            .start()
            .await?;
        let url = format!("{}/?to={}&k=1&wait=0", host.url(), upstream.url());
        Ok(Self { host, url })
    }

    /// Sends one more request, on a separate connection.
    fn request(&self) -> tokio::task::JoinHandle<Result<Answer>> {
        let url = self.url.clone();
        let log = self.host.stderr().clone();
        tokio::spawn(async move {
            let answer = Client::new().get(&url).await;
            answer.with_context(|| format!("the log:\n{}", log.text()))
        })
    }
}
