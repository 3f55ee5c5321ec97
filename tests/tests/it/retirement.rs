//! Promise: an instance ends after enough requests or idle time; no request or answer suffers by
//! it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use headwater_tests::guests::guest;
use headwater_tests::instances::{self, Instances};
use headwater_tests::settings::Settings;
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Client, Host, Services, Upstream, client, load, within};
use http::Request;
use http_body_util::BodyExt;

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_have_served_their_share_retire_under_load_without_a_failed_request()
-> Result<()> {
    const CLIENTS: usize = 16;
    const ROUNDS: usize = 20;
    let host = Host::serve(guest("faulty")?)
        .args(["--max-requests-per-instance", "5-10", "--max-instances"])
        .args(["4", "--log", instances::LOG])
        .start()
        .await?;
    let url = format!("{}/slow?ms=1", host.url());
    let sent = load::tagged("r", CLIENTS, ROUNDS, &url).await?;

    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {answer:?}");
        let text = answer.text();
        let (instance, nth) = text.trim().split_once(' ').context("no instance")?;
        let most = served.entry(instance.to_owned()).or_default();
        *most = nth.parse::<usize>()?.max(*most);
    }
    ensure!(sent.answers.len() == CLIENTS * ROUNDS);
    // No instance served more than the range allows. Fewer served those that are alive, and on a
    // busy machine some whose last request went elsewhere, because the guest was interrupted.
    ensure!(served.values().all(|&served| served <= 10), "{served:?}");
    let short = served.values().filter(|&&served| served < 5).count();
    ensure!(short <= served.len() / 2, "{served:?}");
    let instances = Instances::of("faulty", host.stderr());
    let retired = served.len() - 4;
    instances.wait_retired(retired, "served").await?;
    instances.wait_gone(retired).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_differs_from_instance_to_instance() -> Result<()> {
    let host = Host::serve(guest("faulty")?)
        .args(["--max-requests-per-instance", "1-50", "--max-instances"])
        .args(["1", "--log", instances::LOG])
        .start()
        .await?;
    let sent = load::tagged("s", 1, 200, &format!("{}/instance", host.url())).await?;
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {answer:?}");
        let text = answer.text();
        let (instance, _) = text.split_once(' ').context("no instance")?;
        *served.entry(instance.to_owned()).or_default() += 1;
    }
    // At least four instances; equal numbers of all are practically impossible by chance.
    ensure!(served.len() >= 4, "{served:?}");
    let first = served.values().next();
    ensure!(
        served.values().any(|share| Some(share) != first),
        "{served:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_end_down_to_those_that_are_to_be_kept() -> Result<()> {
    let three = Three::start(&["--idle-timeout", "300ms", "--min-idle", "1"]).await?;
    three.instances.wait_retired(2, "idle").await?;
    three.instances.wait_gone(2).await?;
    // Longer than the idle timeout, by another service's clock.
    pass_a_second(&three.host).await?;
    // The last one was kept.
    ensure!(three.instances.retired("idle") == 2);
    three.host.ok(&three.path()).await?;
    // It answers. If it is of another thread than the request, that one gets an instance of its own.
    let started = three.instances.started();
    ensure!((3..=4).contains(&started), "{started} instances");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_idle_instances_end_if_none_is_to_be_kept() -> Result<()> {
    let three = Three::start(&["--idle-timeout", "300ms"]).await?;
    three.instances.wait_retired(3, "idle").await?;
    three.instances.wait_gone(3).await?;
    three.host.ok(&three.path()).await?;
    three.instances.wait_started(4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_response_goes_on_in_an_instance_that_is_not_idle() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let services = beside_a_clock(
        Settings::default().component("detached", "/detached", &[&held.url()])?,
        &["--idle-timeout", "300ms", "--post-return-timeout", "600s"],
    )
    .await?;
    let path = format!("/detached?to={}&k=2&wait=0", held.url());
    services.ok(&path).await?;
    held.wait_for(1).await?;
    pass_a_second(&services).await?;
    held.release();
    // The second call comes after the first has its answer.
    held.wait_for(2).await?;
    let instances = services.instances("detached");
    instances.wait_retired(1, "idle").await?;
    instances.wait_started(1).await?;
    Ok(())
}

// G3
#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_response_ends_with_its_timeout() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let services = beside_a_clock(
        Settings::default().component("detached", "/detached", &[&held.url()])?,
        &["--post-return-timeout", "500ms", "--idle-timeout", "600s"],
    )
    .await?;
    let path = format!("/detached?to={}&k=1&wait=0", held.url());
    services.ok(&path).await?;
    held.wait_for(1).await?;
    let instances = services.instances("detached");
    instances.wait_gone(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_being_sent_is_cut_by_no_timeout() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let host = Host::serve(guest("faulty")?)
        .args(["--timeout", "300ms", "--idle-timeout", "300ms"])
        .args(["--post-return-timeout", "300ms", "--allow-outgoing"])
        .arg(held.url())
        .start()
        .await?;
    let url = format!("{}/drip?to={}", host.url(), held.url());
    let open = |client: Client| {
        let url = url.clone();
        async move { client.open(Request::get(url).body(client::empty())?).await }
    };
    let answers = try_join_all([open(Client::new()), open(Client::http2())]).await?;
    held.wait_for(2).await?;
    for _ in 0..10 {
        let slow = format!("{}/slow?ms=100", host.url());
        ensure!(Client::new().get(&slow).await?.status == 200);
    }
    held.release();
    for answer in answers {
        let body = within("the end of the body", answer.into_body().collect()).await?;
        let body = body.context("the body was cut")?.to_bytes();
        ensure!(body == "firstlast", "{body:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_0_2_gets_an_instance_for_each_request_unless_told_otherwise() -> Result<()>
{
    for (arguments, expected) in [
        (&[][..], 5),
        // The next request may arrive before the host has seen the end of the last one, and would
        // start a second instance.
        (
            &["--max-requests-per-instance", "100", "--max-instances", "1"][..],
            1,
        ),
    ] {
        let upstream = Upstream::start().await?;
        let host = Host::serve(guest("outgoing-p2")?)
            .args(["--allow-outgoing", &upstream.url(), "--log", instances::LOG])
            .args(arguments)
            .start()
            .await?;
        let url = format!("{}/?to={}&k=1", host.url(), upstream.url());
        let sent = load::tagged("p", 1, 5, &url).await?;
        for (tag, answer) in &sent.answers {
            ensure!(answer.status == 200, "{tag}: {answer:?}");
        }
        let instances = Instances::of("outgoing-p2", host.stderr());
        let started = instances.wait_started(expected).await;
        started.with_context(|| format!("with {arguments:?}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_instance_of_0_2_still_serves_one_request_at_a_time() -> Result<()> {
    let held = Upstream::with(Behaviour::Hold).await?;
    let host = Host::serve(guest("outgoing-p2")?)
        .args(["--allow-outgoing", &held.url(), "--max-instances", "2"])
        .args(["--max-requests-per-instance", "100", "--timeout", "600s"])
        .args(["--max-concurrent-per-instance", "16"])
        .args(["--queue-timeout", "600s", "--max-queue", "3"])
        .args(["--log", instances::LOG])
        .start()
        .await?;
    let url = format!("{}/?to={}&k=1", host.url(), held.url());
    let get = || {
        let url = url.clone();
        tokio::spawn(async move { Client::new().get(&url).await })
    };
    let inside = [get(), get()];
    held.wait_for(2).await?;
    let waiting = [get(), get(), get(), get()];
    // Once the fourth is refused, the other three are in the queue rather than in an instance.
    let (refused, _, waiting) = futures::future::select_all(waiting).await;
    let refused = refused??;
    ensure!(refused.is_refusal(), "{refused:?}");
    ensure!(held.calls().len() == 2);
    held.release();
    for answer in inside.into_iter().chain(waiting) {
        let answer = answer.await??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Instances::of("outgoing-p2", host.stderr())
        .wait_started(2)
        .await?;
    Ok(())
}

/// Starts a host whose service `fanout` has served three requests at once, in three instances.
struct Three {
    host: Services,
    instances: Instances,
    upstream: Upstream,
}

impl Three {
    async fn start(arguments: &[&str]) -> Result<Self> {
        let upstream = Upstream::with(Behaviour::Hold).await?;
        let settings = Settings::default()
            .component("fanout", "/fanout", &[&upstream.url()])?
            .text("max_concurrent_per_instance = 1\n");
        let host = beside_a_clock(settings, arguments).await?;
        let instances = host.instances("fanout");
        let three = Self {
            host,
            instances,
            upstream,
        };
        let released = async {
            three.upstream.wait_for(3).await?;
            three.upstream.release();
            Ok(())
        };
        let path = three.path();
        futures::try_join!(three.host.all_ok(&path, 3), released)?;
        three.instances.wait_started(3).await?;
        Ok(three)
    }

    fn path(&self) -> String {
        format!("/fanout?to={}&k=1&wait=0", self.upstream.url())
    }
}

/// Serves the test's own services, and `stream` as a clock.
async fn beside_a_clock(settings: Settings, arguments: &[&str]) -> Result<Services> {
    let settings = settings.component("stream", "/ticks", &[])?;
    Services::start(settings, arguments).await
}

/// Waits for a second, by a guest's clock.
async fn pass_a_second(services: &Services) -> Result<()> {
    services.ok("/ticks?n=11&every=100").await?;
    Ok(())
}
