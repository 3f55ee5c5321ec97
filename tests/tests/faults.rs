//! Promise: a guest that fails is answered for, and harms nobody else. Those that mean harm are in
//! `hostile_guests.rs`.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use headwater_tests::settings::Settings;
use headwater_tests::{Client, Services, client, pattern};
use http::Request;

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_a_500_with_the_request_id_and_a_log_line_with_the_cause() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let answer = services.get("/trap").await?;
    ensure!(answer.status == 500, "{}", answer.status);
    let id = answer.request_id();
    ensure!(!id.is_empty(), "{:?}", answer.headers);
    ensure!(answer.text().contains(id), "{}", answer.text());
    // What the guest said stays inside.
    ensure!(!answer.text().contains("panic"), "{}", answer.text());
    ensure!(!answer.text().contains("unreachable"), "{}", answer.text());

    let log = services.host().stderr();
    log.wait_for("a log line with the id and the cause", |line| {
        line.contains(id) && line.contains("unreachable")
    })
    .await?;
    log.wait_for("the guest's last words", |line| {
        line.contains("deliberate panic")
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_place_of_a_response_is_a_500_with_the_request_id_and_a_log_line() -> Result<()>
{
    let services = Services::faulty(&[]).await?;
    let answer = services.get("/error").await?;
    ensure!(answer.status == 500, "{}", answer.status);
    let id = answer.request_id();
    ensure!(!id.is_empty() && answer.text().contains(id), "{answer:?}");
    let log = services.host().stderr();
    log.wait_for("a log line with the id", |line| line.contains(id))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_leave_later_requests_and_other_services_unharmed() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let (traps, others) = futures::try_join!(
        try_join_all((0..20).map(|_| services.get("/trap"))),
        try_join_all((0..50).map(|_| services.get("/hello"))),
    )?;
    ensure!(traps.iter().all(|answer| answer.status == 500));
    ensure!(others.iter().all(|answer| answer.status == 200));
    for _ in 0..5 {
        let answer = services.get("/").await?;
        ensure!(
            answer.status == 200 && answer.text() == "fine\n",
            "{answer:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_the_middle_of_a_body_cuts_the_response_and_never_ends_it_cleanly() -> Result<()>
{
    let services = Services::faulty(&[]).await?;
    for client in [Client::new(), Client::http2()] {
        let url = format!("{}/late-trap", services.host().url());
        let request = Request::get(&url).body(client::empty())?;
        // The head may be lost with the connection; a whole answer must not come.
        let answer = client.send(request).await;
        ensure!(answer.is_err(), "a whole answer came: {answer:?}");
    }
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_for_a_guest_that_never_reads_it_does_not_hang() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let body = client::streamed(pattern::chunks(64 << 20), None);
    let request = Request::post(format!("{}/", services.host().url())).body(body)?;
    let answer = Client::new().send(request).await?;
    ensure!(
        answer.status == 200 && answer.text() == "fine\n",
        "{answer:?}"
    );
    ensure!(services.get("/").await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_no_service_is_a_404_with_the_request_id() -> Result<()> {
    let services = Services::beside_hello(Settings::default(), &[]).await?;
    let answer = services.get("/nowhere").await?;
    ensure!(answer.status == 404, "{}", answer.status);
    ensure!(!answer.request_id().is_empty(), "{:?}", answer.headers);
    Ok(())
}
