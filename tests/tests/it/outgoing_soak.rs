//! Promise: outgoing requests leak nothing. (`cargo xtask soak --outgoing N` makes more.)

use anyhow::{Result, ensure};
use headwater_tests::{by_tier, outgoing_soak};

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_outgoing_requests_are_answered_and_leave_no_socket_behind() -> Result<()> {
    let figures = outgoing_soak::run(by_tier(3_000, 200_000)).await?;
    let problems = figures.problems();
    ensure!(problems.is_empty(), "{problems:?}\n{figures}");
    // All kinds but those within the host, and those without an answer.
    ensure!(figures.arrived * 2 > figures.outgoing, "{figures}");
    Ok(())
}
