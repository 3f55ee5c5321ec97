//! Promise: no guest finds in memory what another left there.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::{Host, by_tier, guests, isolation};

/// Also with one place for all, so that each instance is where one of another service was.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_nothing_of_others_in_its_memory_while_pages_are_moved_and_sent_out()
-> Result<()> {
    let run_for = Duration::from_secs(by_tier(3, 60));
    for arguments in [&[][..], &["--places", "1"]] {
        let figures = isolation::attack(run_for, arguments).await?;
        println!("{arguments:?}: {figures}");
        ensure!(figures.found.is_empty(), "{figures}");
        ensure!(figures.looked > 0 && figures.marked > 0, "{figures}");
    }
    Ok(())
}

/// wasmtime opens the page map for the scan that skips absent pages, and keeps it open.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_does_not_look_at_its_page_map() -> Result<()> {
    for guest in ["marks", "marks-large"] {
        let host = Host::serve(guests::guest(guest)?).start().await?;
        let answer = headwater_tests::Client::new().get(host.url()).await?;
        ensure!(answer.text() == "clean\n", "{}", answer.text());
        let folder = format!("/proc/{}/fd", host.process().pid());
        for entry in std::fs::read_dir(folder)? {
            let target = std::fs::read_link(entry?.path()).unwrap_or_default();
            ensure!(
                !target.ends_with("pagemap"),
                "{guest}: {} is open",
                target.display()
            );
        }
    }
    Ok(())
}
