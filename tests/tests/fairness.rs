//! Promise: a request that computes holds up no other for more than an epoch tick or two.
//!
//! Here, no guest that computes is ever interrupted: its request has ten minutes. That others are answered
//! at all is what shows that they are not held up. For how long they are is measured by
//! `cargo xtask bench`.

use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use headwater_tests::{Answer, Client, Services};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_another_service() -> Result<()> {
    let services = Services::faulty(&["--timeout", "600s"]).await?;
    // More than there are threads.
    let computing: Vec<_> = (0..2 * available_parallelism()?.get())
        .map(|_| spin(&services))
        .collect();
    services.host().process().busy().await?;
    for _ in 0..20 {
        services.ok("/hello").await?;
    }
    services.all_ok("/hello", 20).await?;
    ensure!(!computing.iter().any(JoinHandle::is_finished));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_other_instances_of_the_same_service() -> Result<()> {
    let arguments = ["--timeout", "600s", "--max-instances", "2"];
    let services = Services::faulty(&arguments).await?;
    let computing = spin(&services);
    services.host().process().busy().await?;
    let mut instance = None;
    for _ in 0..20 {
        let answer = services.ok("/instance").await?.text();
        let (id, _) = answer.split_once(' ').context("no instance")?;
        ensure!(id == instance.get_or_insert_with(|| id.to_owned()));
    }
    ensure!(!computing.is_finished());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_the_instance_in_which_it_computes() -> Result<()> {
    let arguments = ["--timeout", "600s", "--max-instances", "2"];
    let services = Services::faulty(&arguments).await?;
    let computing = spin(&services);
    // The instance was started for this one request, which is the first to enter it. Whether those that
    // come now are given to it depends on whether it is known by then that it computes.
    services.instances("faulty").wait_started(1).await?;
    services.all_ok("/", 30).await?;
    ensure!(!computing.is_finished());
    Ok(())
}

/// A request that computes for ever.
fn spin(services: &Services) -> JoinHandle<Result<Answer>> {
    let url = format!("{}/spin", services.host().url());
    tokio::spawn(async move { Client::new().get(&url).await })
}
