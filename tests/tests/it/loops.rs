//! Promise (G20): a guest that calls itself in any way ends with `loop-detected`, and others do not
//! notice.

use anyhow::{Context, Result, ensure};
use headwater_tests::settings::Settings;
use headwater_tests::{Answer, Services, Upstream};

/// Serves `relay` at every path, and as `other` at `/other`; they call each other, themselves, and
/// this host.
async fn relays(arguments: &[&str]) -> Result<Services> {
    let grants = ["*.internal", "127.0.0.1"];
    let settings = Settings::default()
        .component("relay", "/...", &grants)?
        .component_as("other", "relay", "/other/...", &grants)?;
    Services::beside_hello(settings, arguments).await
}

fn ends_with_a_detected_loop(answer: &Answer) -> Result<()> {
    // The innermost relay reports its error, and the others pass that on.
    ensure!(answer.status == 502, "{answer:?}");
    ensure!(answer.text().contains("LoopDetected"), "{}", answer.text());
    Ok(())
}

/// Ends the host, and returns the number of requests for `path`: records come in no order.
async fn asked(services: &Services, path: &str) -> Result<usize> {
    services.host().process().terminate()?;
    let log = services.host().stderr();
    log.ended().await?;
    let path = format!("\"path\":\"{path}\"");
    let text = log.text();
    let records = text
        .lines()
        .filter(|line| line.contains("headwater::access"));
    Ok(records.filter(|line| line.contains(&path)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_calls_itself_in_process_is_told_of_the_loop() -> Result<()> {
    let services = relays(&["--access-log"]).await?;
    let answer = services.get("/a?to=http://relay.internal").await?;
    ends_with_a_detected_loop(&answer)?;
    // The first, sixteen repetitions, and the refused one.
    let asked = asked(&services, "/a").await?;
    ensure!(asked == 18, "{asked} requests");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_calls_itself_through_the_front_is_told_of_the_loop() -> Result<()> {
    let services = relays(&["--access-log", "--max-hops", "3"]).await?;
    let answer = services
        .get(&format!("/a?to={}", services.host().url()))
        .await?;
    ends_with_a_detected_loop(&answer)?;
    let asked = asked(&services, "/a").await?;
    ensure!(asked == 5, "{asked} requests");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_while_guests_go_in_circles() -> Result<()> {
    let services = relays(&[]).await?;
    let through = format!("/x?to={}", services.host().url());
    let circles = (0..10).map(async |i| {
        let path = if i % 2 == 0 {
            &through
        } else {
            "/x?to=http://relay.internal"
        };
        ends_with_a_detected_loop(&services.get(path).await?)
    });
    let others = services.all_ok("/hello", 50);
    let (circles, others) = futures::join!(futures::future::try_join_all(circles), others);
    circles?;
    ensure!(others?.len() == 50);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_within_the_bound_is_none_of_it() -> Result<()> {
    let services = relays(&["--max-hops", "1"]).await?;
    let answer = services.ok("/x?to=http://hello.internal").await?;
    ensure!(answer.text().starts_with("Hello"));
    let through = format!("/other/x?to={}", services.host().url());
    let answer = services.get(&through).await?;
    ends_with_a_detected_loop(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_field_is_the_host_s_and_what_came_before_is_passed_on() -> Result<()> {
    let upstream = Upstream::start().await?;
    let services = relays(&["--host-id", "this-host"]).await?;
    let url = format!("{}/a?to={}", services.host().url(), upstream.url());
    let request = http::Request::get(&url)
        .header("cdn-loop", "cdn.example; v=1")
        .header("cdn-loop", "this-host")
        .body(headwater_tests::client::empty())?;
    // The relay passes the request on with all headers unchanged.
    let answer = headwater_tests::Client::new().send(request).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let calls = upstream.wait_for(1).await?;
    let sent: Vec<_> = calls[0].headers.get_all("cdn-loop").iter().collect();
    ensure!(
        sent == ["cdn.example; v=1, this-host, this-host"],
        "{sent:?}"
    );
    let first = services.get(&format!("/b?to={}", upstream.url())).await?;
    ensure!(first.status == 200);
    let calls = upstream.wait_for(2).await?;
    let own = calls[1].headers.get("cdn-loop").context("no field")?;
    ensure!(own == "this-host", "{own:?}");
    Ok(())
}
