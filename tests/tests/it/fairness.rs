//! Promise: a request that computes delays no other for more than an epoch tick or two.
//!
//! Here, no guest that computes is ever interrupted: its request has ten minutes. So any answer to
//! others shows that they are not held up. `cargo xtask bench` measures the delay.

use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use headwater_tests::settings::Settings;
use headwater_tests::{Answer, Client, Services};
use tokio::task::JoinHandle;

/// A module that fills 256 MiB again and again by one instruction, each time with a line on stderr.
const FILL: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "filled\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 7))
    (drop (memory.grow (i32.const 4096)))
    (loop $ever
      (memory.fill (i32.const 1024) (i32.const 1) (i32.const 268435456))
      (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $ever))))
"#;

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
    // The instance was started for this request, which is the first to enter it. New requests may
    // be given to it until the host knows that it computes.
    services.instances("faulty").wait_started(1).await?;
    services.all_ok("/", 30).await?;
    ensure!(!computing.is_finished());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beside_components_that_do_what_cannot_be_interrupted() -> Result<()> {
    for (path, line) in [
        ("/fill?mib=256", "filled"),
        ("/random?mib=32", "got random bytes"),
    ] {
        let arguments = [
            "--timeout=600s",
            "--memory=512MiB",
            "--max-concurrent-per-instance=1",
        ];
        let services = Services::faulty(&arguments).await?;
        some_are_answered_between_two_lines(&services, path, line).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beside_modules_that_do_what_cannot_be_interrupted() -> Result<()> {
    let settings = Settings::default().crafted_module("fill", "/fill", FILL);
    let arguments = ["--timeout=600s", "--memory=512MiB"];
    let services = Services::beside_hello(settings, &arguments).await?;
    some_are_answered_between_two_lines(&services, "/fill", "filled").await
}

/// Starts more guests than threads that print a line after each long step, and sends requests to
/// another service meanwhile.
///
/// If guests blocked all threads, each request would have to wait until one of them finishes a step
/// and prints. So requests that are sent and answered in a row without a line in between were not
/// held up.
async fn some_are_answered_between_two_lines(
    services: &Services,
    path: &str,
    line: &str,
) -> Result<()> {
    const TRIES: usize = 20;
    // A guest may yield its thread between the step and the line.
    const IN_A_ROW: usize = 3;
    let lines = || {
        let lines = services.host().stderr().lines();
        lines.iter().filter(|found| found.contains(line)).count()
    };
    let busy: Vec<_> = (0..2 * available_parallelism()?.get())
        .map(|_| request(services, path))
        .collect();
    let is_line = |found: &str| found.contains(line);
    services.host().stderr().wait_for(line, is_line).await?;
    let mut undisturbed = false;
    for _ in 0..TRIES {
        let before = lines();
        for _ in 0..IN_A_ROW {
            services.ok("/hello").await?;
        }
        undisturbed |= lines() == before;
    }
    ensure!(undisturbed, "all waited for guests");
    ensure!(!busy.iter().any(JoinHandle::is_finished));
    Ok(())
}

fn spin(services: &Services) -> JoinHandle<Result<Answer>> {
    request(services, "/spin")
}

fn request(services: &Services, path: &str) -> JoinHandle<Result<Answer>> {
    let url = format!("{}{path}", services.host().url());
    tokio::spawn(async move { Client::new().get(&url).await })
}
