//! Promise: a guest that means harm gets its own answer, and others do not notice.
//!
//! The ids are those of the rows of the hardening table. G13 and G14 are in `pool.rs`, G3's timeouts
//! in `retirement.rs`, the simple traps in `faults.rs`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::instances::{self, Instances};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Answer, Client, Host, client, crafted, pattern};
use http::Request;

// G1
#[tokio::test(flavor = "multi_thread")]
async fn an_infinite_loop_is_a_504_and_its_instance_is_dropped() -> Result<()> {
    let services = Services::faulty(&["--timeout", "1s"]).await?;
    times_out(&services, "/spin").await?;
    services.instances.wait_gone(1).await?;
    services.host.process().calm().await?;
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

// G1, G14
#[tokio::test(flavor = "multi_thread")]
async fn those_that_share_an_instance_with_an_infinite_loop_are_all_answered() -> Result<()> {
    let services = Services::faulty(&["--timeout", "1s", "--max-instances", "1"]).await?;
    // These wait for each other, so that they are inside when the loop is.
    let (siblings, spin) = futures::try_join!(
        try_join_all((0..10).map(|_| services.get("/trap-together?n=99"))),
        services.get("/spin"),
    )?;
    ensure!(spin.status == 504, "{spin:?}");
    let ids: BTreeSet<_> = siblings.iter().map(Answer::request_id).collect();
    ensure!(ids.len() == 10, "{ids:?}");
    for sibling in &siblings {
        ensure!(
            sibling.status == 504 || sibling.status == 500,
            "{sibling:?}"
        );
    }
    // Until then the service is full.
    services.instances.wait_gone(1).await?;
    ensure!(services.get("/").await?.status == 200);
    services.host.process().calm().await
}

// G1
#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_host_call_that_blocks_is_a_504() -> Result<()> {
    let services = Services::crafted(crafted::BLOCKS_IN_THE_HOST, &["--timeout", "1s"]).await?;
    times_out(&services, "/").await?;
    services.instances.wait_gone(1).await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_the_start_function_is_a_504() -> Result<()> {
    for component in [
        crafted::service_that_starts_with(crafted::SPIN),
        crafted::proxy_that_starts_with(crafted::SPIN),
    ] {
        let services = Services::crafted(component, &["--timeout", "1s"]).await?;
        times_out(&services, "/").await?;
        services.host.process().calm().await?;
        times_out(&services, "/").await?;
    }
    Ok(())
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn loops_in_the_start_function_do_not_fill_the_service_up() -> Result<()> {
    let component = crafted::service_that_starts_with(crafted::SPIN);
    let arguments = ["--timeout", "1s", "--max-instances", "2"];
    let services = Services::crafted(component, &arguments).await?;
    for _ in 0..2 {
        let (all, others) = futures::try_join!(
            try_join_all((0..6).map(|_| services.get("/"))),
            try_join_all((0..10).map(|_| services.get("/hello"))),
        )?;
        for answer in &all {
            ensure!(answer.status == 504 || answer.is_refusal(), "{answer:?}");
        }
        ensure!(others.iter().all(|answer| answer.status == 200));
    }
    services.host.process().calm().await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_realloc_is_a_504() -> Result<()> {
    let services = Services::crafted(crafted::SPINS_IN_REALLOC, &["--timeout", "1s"]).await?;
    times_out(&services, "/").await?;
    services.instances.wait_gone(1).await?;
    services.host.process().calm().await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_post_return_is_a_504() -> Result<()> {
    let services = Services::crafted(crafted::SPINS_IN_POST_RETURN, &["--timeout", "1s"]).await?;
    times_out(&services, "/").await?;
    services.instances.wait_gone(1).await?;
    services.host.process().calm().await
}

// G2, G3
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_after_the_response_ends_with_the_post_return_timeout() -> Result<()> {
    let services = Services::faulty(&["--post-return-timeout", "500ms"]).await?;
    let answer = services.get("/spin-after").await?;
    ensure!(
        answer.status == 200 && answer.text() == "answered\n",
        "{answer:?}"
    );
    let others = try_join_all((0..20).map(|_| services.get("/hello"))).await?;
    ensure!(others.iter().all(|answer| answer.status == 200));
    services.instances.wait_gone(1).await?;
    services.host.process().calm().await?;
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

// G3
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_ends_ends_with_the_post_return_timeout() -> Result<()> {
    let services = Services::faulty(&["--post-return-timeout", "500ms"]).await?;
    let answer = services.get("/respond-and-stay").await?;
    ensure!(
        answer.status == 200 && answer.text() == "answered\n",
        "{answer:?}"
    );
    services.instances.wait_gone(1).await?;
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn memory_without_end_is_a_500_with_a_log_line_that_names_the_setting() -> Result<()> {
    let services = Services::faulty(&["--memory", "64"]).await?;
    let process = services.host.process();
    ensure!(services.get("/").await?.status == 200);
    let before = process.rss()?;
    process.reset_peak_rss()?;
    let answer = services.get("/memory").await?;
    failed(&answer)?;
    let id = answer.request_id();
    let log = services.host.stderr();
    log.wait_for("a log line with the id and the setting", |line| {
        line.contains(id) && line.contains("--memory")
    })
    .await?;
    let taken = process.peak_rss()?.saturating_sub(before);
    ensure!(taken < 128 << 20, "{taken} bytes were taken");
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

// G4
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_grows_without_end_is_a_500() -> Result<()> {
    let component = crafted::proxy_that_does(crafted::GROW_A_TABLE);
    let services = Services::crafted(component, &[]).await?;
    let process = services.host.process();
    let before = process.rss()?;
    process.reset_peak_rss()?;
    failed(&services.get("/").await?)?;
    let taken = process.peak_rss()?.saturating_sub(before);
    ensure!(taken < 128 << 20, "{taken} bytes were taken");
    ensure!(services.get("/hello").await?.status == 200);
    Ok(())
}

// G9
#[tokio::test(flavor = "multi_thread")]
async fn handles_without_end_are_a_500_and_take_a_bounded_part_of_the_hosts_memory() -> Result<()> {
    let services = Services::faulty(&["--memory", "64"]).await?;
    let process = services.host.process();
    ensure!(services.get("/").await?.status == 200);
    for kind in ["fields", "streams", "futures"] {
        let before = process.rss()?;
        process.reset_peak_rss()?;
        let many = format!("/handles?n=100000&kind={kind}");
        let many = services.get(&many).await?;
        // Whether a hundred thousand are too many is the host's decision.
        ensure!(many.status == 200 || many.status == 500, "{kind}: {many:?}");
        let endless = format!("/handles?n=1000000000000&kind={kind}");
        failed(&services.get(&endless).await?).with_context(|| kind.to_owned())?;
        let taken = process.peak_rss()?.saturating_sub(before);
        ensure!(taken < 512 << 20, "{kind}: {taken} bytes were taken");
        ensure!(services.get("/").await?.status == 200);
    }
    Ok(())
}

// G17
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_middle_of_a_request_is_a_500_and_ends_the_instance() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let first = services.get("/instance").await?;
    failed(&services.get("/exit").await?)?;
    services.instances.wait_gone(1).await?;
    let next = services.get("/instance").await?;
    ensure!(
        next.status == 200 && next.text() != first.text(),
        "{next:?}"
    );
    Ok(())
}

// G17
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_after_the_response_leaves_the_response_whole() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let answer = services.get("/exit-after").await?;
    ensure!(
        answer.status == 200 && answer.text() == "answered\n",
        "{answer:?}"
    );
    services.instances.wait_gone(1).await?;
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

// G18
#[tokio::test(flavor = "multi_thread")]
async fn a_response_stream_that_is_dropped_or_ends_in_an_error_is_cut_and_nothing_hangs()
-> Result<()> {
    let services = Services::faulty(&[]).await?;
    for client in [Client::new(), Client::http2()] {
        for path in ["/drop-body", "/trailer-error", "/late-trap"] {
            let url = format!("{}{path}", services.host.url());
            // Without a request body, and with one that the guest does not read.
            for body in [
                client::empty(),
                client::streamed(pattern::chunks(4 << 20), None),
            ] {
                let answer = client.send(Request::post(&url).body(body)?).await;
                ensure!(answer.is_err(), "{path}: a whole answer came: {answer:?}");
            }
            let next = client.get(services.host.url()).await?;
            ensure!(next.status == 200, "after {path}: {next:?}");
        }
    }
    Ok(())
}

// G19
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_start_function_fails_its_own_request_and_nobody_elses() -> Result<()> {
    for component in [
        crafted::service_that_starts_with(crafted::TRAP),
        crafted::proxy_that_starts_with(crafted::TRAP),
    ] {
        let services = Services::crafted(component, &["--max-instances", "2"]).await?;
        failed(&services.get("/").await?)?;
        let (all, others) = futures::try_join!(
            try_join_all((0..20).map(|_| services.get("/"))),
            try_join_all((0..20).map(|_| services.get("/hello"))),
        )?;
        let ids: BTreeSet<_> = all.iter().map(Answer::request_id).collect();
        ensure!(ids.len() == 20, "{ids:?}");
        for answer in &all {
            // After some failures, the host may know what to expect.
            ensure!(answer.status == 500 || answer.is_refusal(), "{answer:?}");
        }
        ensure!(others.iter().all(|answer| answer.status == 200));
    }
    Ok(())
}

// G19
#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_the_engine_has_room_for_fail_no_request() -> Result<()> {
    // The engine has room for a thousand, over all services.
    const CONNECTIONS: usize = 11;
    const EACH: usize = 100;
    let services = Services::with(
        Settings::default()
            .component("faulty", "/...", &[])?
            .text("max_instances = 2000\nmax_concurrent_per_instance = 1\nmax_queue = 2000\n")
            .text("queue_timeout = \"600s\"\n"),
        // Idle instances make room for others once this is over.
        &["--timeout", "600s", "--idle-timeout", "1s"],
    )
    .await?;
    let url = format!("{}/held-slow?ms=3000", services.host.url());
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::http2()).collect();
    let all = clients
        .iter()
        .flat_map(|client| (0..EACH).map(|_| client.get(&url)));
    let answers = try_join_all(all).await?;
    ensure!(answers.len() == CONNECTIONS * EACH);
    for answer in &answers {
        ensure!(answer.status == 200, "{answer:?}");
    }
    ensure!(services.get("/hello").await?.status == 200);
    Ok(())
}

/// While `path` misses its deadline, and after it, another service answers.
async fn times_out(services: &Services, path: &str) -> Result<()> {
    let (late, others) = futures::try_join!(
        services.get(path),
        try_join_all((0..20).map(|_| services.get("/hello"))),
    )?;
    ensure!(late.status == 504, "{late:?}");
    let id = late.request_id();
    ensure!(!id.is_empty() && late.text().contains(id), "{late:?}");
    ensure!(others.iter().all(|answer| answer.status == 200));
    ensure!(services.get("/hello").await?.status == 200);
    Ok(())
}

/// The answer to a request whose guest failed.
fn failed(answer: &Answer) -> Result<()> {
    let id = answer.request_id();
    ensure!(answer.status == 500, "{answer:?}");
    ensure!(!id.is_empty() && answer.text().contains(id), "{answer:?}");
    Ok(())
}

/// A host with a hostile service at every path, and `hello` beside it.
struct Services {
    host: Host,
    /// Those of the hostile service.
    instances: Instances,
    _settings: SettingsFile,
}

impl Services {
    async fn faulty(arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().component("faulty", "/...", &[])?;
        Self::with(settings, arguments).await
    }

    /// With a component in the text format.
    async fn crafted(component: impl Into<String>, arguments: &[&str]) -> Result<Self> {
        let settings = Settings::default().crafted("faulty", "/...", component);
        Self::with(settings, arguments).await
    }

    async fn with(settings: Settings, arguments: &[&str]) -> Result<Self> {
        let settings = settings.component("hello", "/hello", &[])?.write()?;
        let host = Host::serve(settings.path())
            .args(["--log", instances::LOG])
            .args(arguments)
            .start()
            .await?;
        Ok(Self {
            instances: Instances::of("faulty", host.stderr()),
            host,
            _settings: settings,
        })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let answer = Client::new()
            .get(&format!("{}{path}", self.host.url()))
            .await;
        answer.with_context(|| format!("the log:\n{}", self.host.stderr().text()))
    }
}
