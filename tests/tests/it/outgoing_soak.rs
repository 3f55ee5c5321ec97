//! Promise: outgoing requests leave nothing behind. (`cargo xtask soak --outgoing 200000` makes more.)

use anyhow::{Result, ensure};
use headwater_tests::outgoing_soak;

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_outgoing_requests_are_answered_and_leave_no_socket_behind() -> Result<()> {
    let figures = outgoing_soak::run(3_000).await?;
    let problems = figures.problems();
    ensure!(problems.is_empty(), "{problems:?}\n{figures}");
    // All but those within the host, and those that nobody answers.
    ensure!(figures.arrived * 2 > figures.outgoing, "{figures}");
    Ok(())
}
