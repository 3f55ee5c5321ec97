//! Promise: in a random mix of all cases that are hard to attribute, no call is attributed to the
//! wrong request, and only those are in doubt that the documentation names. `cargo xtask
//! prove-attribution` proves it for other random mixes.

use anyhow::{Result, ensure};
use headwater_tests::by_tier;
use headwater_tests::prove::{Options, prove};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_a_random_mix_is_attributed_wrongly() -> Result<()> {
    let folder = TempDir::new()?;
    let options = Options {
        calls: by_tier(4_000, 200_000),
        seed: 4_000,
        trace_file: &folder.path().join("trace.jsonl"),
        attribution: None,
    };
    let report = prove(&options, |_, _| ()).await?;
    ensure!(report.good(), "{report}");
    Ok(())
}
