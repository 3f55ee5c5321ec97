//! Promise: a malicious guest gets its own answer, and others do not notice.
//!
//! The ids are those of `docs/explanation/hardening.md`. G4, G9 and G19 are in
//! `hoarding_guests.rs`, G13 and G14 in `pool.rs`, requests beside one that missed its deadline in
//! `deadlines.rs`, and simple traps in `faults.rs`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use headwater_tests::crafted::{self, Proxy, Service};
use headwater_tests::{Answer, Client, Services, client, pattern};
use http::Request;

/// Only the timeout for leftover work ends an instance.
const ABANDONED: [&str; 6] = [
    "--timeout",
    "600s",
    "--idle-timeout",
    "600s",
    "--post-return-timeout",
    "500ms",
];

// G1
#[tokio::test(flavor = "multi_thread")]
async fn an_infinite_loop_is_a_504_and_its_instance_is_dropped() -> Result<()> {
    let services = Services::faulty(&["--timeout", "1s"]).await?;
    times_out(&services, "/spin").await?;
    services.instances("faulty").wait_gone(1).await?;
    services.host().process().calm().await?;
    services.ok("/").await?;
    Ok(())
}

// G1, G14
#[tokio::test(flavor = "multi_thread")]
async fn those_that_share_an_instance_with_an_infinite_loop_are_all_answered() -> Result<()> {
    let services = Services::faulty(&["--timeout", "1s", "--max-instances", "1"]).await?;
    // These wait for each other, so that they are inside together with the loop.
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
    // The service is full until then.
    services.instances("faulty").wait_gone(1).await?;
    services.ok("/").await?;
    services.host().process().calm().await
}

// G1
#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_host_call_that_blocks_is_a_504() -> Result<()> {
    is_dropped_at_its_deadline(Proxy {
        handle: crafted::BLOCK,
        ..Proxy::default()
    })
    .await
}

// G1, C8
#[tokio::test(flavor = "multi_thread")]
async fn an_infinite_loop_whose_client_has_left_is_dropped_too() -> Result<()> {
    let services = Services::faulty(&ABANDONED).await?;
    let url = format!("{}/spin", services.host().url());
    let leaving = tokio::spawn(async move { Client::new().get(&url).await });
    services.host().process().busy().await?;
    leaving.abort();
    services.instances("faulty").wait_gone(1).await?;
    services.host().process().calm().await?;
    services.ok("/").await?;
    Ok(())
}

// G1, C8
#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_host_call_whose_client_has_left_is_dropped_too() -> Result<()> {
    let component = Proxy {
        handle: crafted::BLOCK,
        ..Proxy::default()
    };
    let services = Services::crafted(component, &ABANDONED).await?;
    let url = format!("{}/", services.host().url());
    let leaving = tokio::spawn(async move { Client::new().get(&url).await });
    services.instances("faulty").wait_started(1).await?;
    services.host().process().calm().await?;
    leaving.abort();
    services.instances("faulty").wait_gone(1).await
}

// G1
#[tokio::test(flavor = "multi_thread")]
async fn more_infinite_loops_than_cores_do_not_stop_the_server() -> Result<()> {
    let services = Services::faulty(&["--timeout", "2s"]).await?;
    let (spins, _) = futures::try_join!(
        try_join_all((0..8).map(|_| services.get("/spin"))),
        services.all_ok("/hello", 20),
    )?;
    for spin in &spins {
        ensure!(spin.status == 504, "{spin:?}");
    }
    services.ok("/").await?;
    Ok(())
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_the_start_function_is_a_504() -> Result<()> {
    for component in crafted::that_start_with(crafted::SPIN) {
        let services = Services::crafted(component, &["--timeout", "1s"]).await?;
        times_out(&services, "/").await?;
        services.host().process().calm().await?;
        times_out(&services, "/").await?;
    }
    Ok(())
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn loops_in_the_start_function_do_not_fill_the_service_up() -> Result<()> {
    let [component, _] = crafted::that_start_with(crafted::SPIN);
    let arguments = ["--timeout", "1s", "--max-instances", "2"];
    let services = Services::crafted(component, &arguments).await?;
    for _ in 0..2 {
        let (all, _) = futures::try_join!(
            try_join_all((0..6).map(|_| services.get("/"))),
            services.all_ok("/hello", 10),
        )?;
        for answer in &all {
            ensure!(answer.status == 504 || answer.is_refusal(), "{answer:?}");
        }
    }
    services.host().process().calm().await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_realloc_is_a_504() -> Result<()> {
    is_dropped_at_its_deadline(Proxy {
        handle: crafted::ASK_FOR_THE_PATH,
        realloc: crafted::SPIN,
        ..Proxy::default()
    })
    .await?;
    is_dropped_at_its_deadline(Service {
        handle: crafted::ASK_FOR_THE_PATH,
        realloc: crafted::SPIN,
        ..Service::default()
    })
    .await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_post_return_is_a_504() -> Result<()> {
    is_dropped_at_its_deadline(Proxy {
        post_return: crafted::SPIN,
        ..Proxy::default()
    })
    .await
}

// G2: a function that is lifted as asynchronous has no post-return function, but a callback, and
// work after the result was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_a_callback_is_a_504() -> Result<()> {
    is_dropped_at_its_deadline(Service {
        handle: crafted::YIELD,
        callback: crafted::SPIN,
        ..Service::default()
    })
    .await
}

// G2
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_right_after_the_result_is_a_504() -> Result<()> {
    is_dropped_at_its_deadline(Service {
        handle: crafted::RETURN_AND_SPIN,
        ..Service::default()
    })
    .await
}

// G2, G3
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_after_the_response_ends_with_the_post_return_timeout() -> Result<()> {
    let services = Services::faulty(&["--post-return-timeout", "500ms"]).await?;
    let answer = services.ok("/spin-after").await?;
    ensure!(answer.text() == "answered\n", "{answer:?}");
    services.all_ok("/hello", 20).await?;
    services.instances("faulty").wait_gone(1).await?;
    services.host().process().calm().await?;
    services.ok("/").await?;
    Ok(())
}

// G3
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_answers_is_a_504_at_the_timeout() -> Result<()> {
    let services = Services::faulty(&["--timeout", "1s"]).await?;
    times_out(&services, "/never").await
}

// G3
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_ends_ends_with_the_post_return_timeout() -> Result<()> {
    let services = Services::faulty(&["--post-return-timeout", "500ms"]).await?;
    let answer = services.ok("/respond-and-stay").await?;
    ensure!(answer.text() == "answered\n", "{answer:?}");
    services.instances("faulty").wait_gone(1).await?;
    services.ok("/").await?;
    Ok(())
}

// G17
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_in_the_middle_of_a_request_is_a_500_and_ends_the_instance() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let first = services.get("/instance").await?;
    let exit = services.get("/exit").await?;
    ensure!(exit.is_failure(), "{exit:?}");
    services.instances("faulty").wait_gone(1).await?;
    let next = services.ok("/instance").await?;
    ensure!(next.text() != first.text(), "{next:?}");
    Ok(())
}

// G17
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_after_the_response_leaves_the_response_whole() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    let answer = services.ok("/exit-after").await?;
    ensure!(answer.text() == "answered\n", "{answer:?}");
    services.instances("faulty").wait_gone(1).await?;
    services.ok("/").await?;
    Ok(())
}

// G18
#[tokio::test(flavor = "multi_thread")]
async fn a_response_stream_that_is_dropped_or_ends_in_an_error_is_cut_and_nothing_hangs()
-> Result<()> {
    let services = Services::faulty(&[]).await?;
    for client in [Client::new(), Client::http2()] {
        for path in ["/drop-body", "/trailer-error", "/late-trap"] {
            let url = format!("{}{path}", services.host().url());
            // Without a request body, and with one that the guest does not read.
            for body in [
                client::empty(),
                client::streamed(pattern::chunks(4 << 20), None),
            ] {
                let answer = client.send(Request::post(&url).body(body)?).await;
                ensure!(answer.is_err(), "{path}: a whole answer came: {answer:?}");
            }
            let next = client.get(services.host().url()).await?;
            ensure!(next.status == 200, "after {path}: {next:?}");
        }
    }
    Ok(())
}

/// Checks that a component misses its deadline while others are served, and that its instance is
/// then gone and computes no more.
async fn is_dropped_at_its_deadline(component: impl Into<String>) -> Result<()> {
    let services = Services::crafted(component, &["--timeout", "1s"]).await?;
    times_out(&services, "/").await?;
    services.instances("faulty").wait_gone(1).await?;
    services.host().process().calm().await?;
    services.ok("/hello").await?;
    Ok(())
}

/// Checks that another service answers while and after `path` misses its deadline.
async fn times_out(services: &Services, path: &str) -> Result<()> {
    let (late, _) = futures::try_join!(services.get(path), services.all_ok("/hello", 20))?;
    ensure!(late.status == 504, "{late:?}");
    let id = late.request_id();
    ensure!(!id.is_empty() && late.text().contains(id), "{late:?}");
    services.ok("/hello").await?;
    Ok(())
}
