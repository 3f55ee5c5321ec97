//! Promise: a service that keeps failing is refused at once, is retried automatically, and serves
//! as soon as it can; other services do not notice.
//!
//! The number of failures that this takes is in `docs/explanation/instance-pool.md`.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::settings::Settings;
use headwater_tests::{Answer, Services, crafted, within};
use http::StatusCode;
use tempfile::TempDir;

/// The number of consecutive failed starts before requests are refused.
const STARTS: usize = 3;

/// The number of consecutive failed instances before requests are refused.
const INSTANCES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_start_is_refused_at_once_and_tried_now_and_then() -> Result<()> {
    for component in crafted::that_start_with(crafted::TRAP) {
        let services = Services::crafted(component, &[]).await?;
        let failed = until(&services, "/", Answer::is_refusal).await?;
        ensure!(failed.iter().all(Answer::is_failure), "{failed:?}");
        ensure!(failed.len() >= STARTS, "{failed:?}");
        // One request probes, fails, and opens the circuit again for those that follow.
        for _ in 0..2 {
            until(&services, "/", Answer::is_failure).await?;
            until(&services, "/", Answer::is_refusal).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_could_not_start_serves_by_itself_once_it_can() -> Result<()> {
    // An instance cannot start without the directory that was granted to it.
    let folder = TempDir::new()?;
    let (granted, away) = (folder.path().join("granted"), folder.path().join("away"));
    fs::create_dir(&granted)?;
    let settings = Settings::default()
        .component("faulty", "/...", &[])?
        .text(&format!("directories = {{ \"/data\" = {granted:?} }}\n"));
    let services = Services::beside_hello(settings, &[]).await?;

    fs::rename(&granted, &away)?;
    let failed = until(&services, "/", Answer::is_refusal).await?;
    ensure!(failed.iter().all(Answer::is_failure), "{failed:?}");
    fs::rename(&away, &granted)?;
    let refused = until(&services, "/", is_good).await?;
    ensure!(refused.iter().all(Answer::is_refusal), "{refused:?}");
    services.all_ok("/", 20).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_traps_on_every_request_is_refused_and_serves_by_itself_once_it_can()
-> Result<()> {
    let services = Services::faulty(&[]).await?;
    let failed = until(&services, "/trap", Answer::is_refusal).await?;
    ensure!(failed.iter().all(Answer::is_failure), "{failed:?}");
    ensure!(failed.len() >= INSTANCES, "{} failed", failed.len());
    let refused = until(&services, "/", is_good).await?;
    ensure!(refused.iter().all(Answer::is_refusal), "{refused:?}");
    services.all_ok("/", 20).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_requests_trap_does_not_close_the_service_to_others() -> Result<()> {
    let services = Services::faulty(&[]).await?;
    for _ in 0..2 * INSTANCES {
        let trap = services.get("/trap").await?;
        ensure!(trap.is_failure(), "{trap:?}");
        services.ok("/").await?;
    }
    Ok(())
}

fn is_good(answer: &Answer) -> bool {
    answer.status == StatusCode::OK
}

/// Requests `path` repeatedly until an answer is `wanted`, and returns the answers before that.
/// Another service answers all the while.
async fn until(
    services: &Services,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Result<Vec<Answer>> {
    within("another answer of the service", async {
        let mut others = Vec::new();
        loop {
            let answer = services.get(path).await?;
            services.ok("/hello").await?;
            if wanted(&answer) {
                return Ok(others);
            }
            others.push(answer);
        }
    })
    .await?
}
