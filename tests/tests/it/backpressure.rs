//! Promise: an instance whose guest holds backpressure gets no further request, and others take the
//! load.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::{Host, load};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_under_backpressure_never_sees_two_at_once_while_others_take_the_load() -> Result<()>
{
    let host = Host::serve(guest("backpressure")?).start().await?;
    let sent = load::tagged("b", 16, 5, &format!("{}/?wait=20", host.url())).await?;

    ensure!(sent.answers.len() == 16 * 5);
    let mut instances = BTreeSet::new();
    for (tag, answer) in &sent.answers {
        ensure!(answer.status == 200, "{tag}: {}", answer.text());
        let report: Value = serde_json::from_slice(&answer.body)?;
        ensure!(report["highest"] == 1, "{tag}: {report}");
        let instance = report["instance"].as_str().context("no instance id")?;
        instances.insert(instance.to_owned());
    }
    ensure!(instances.len() > 1, "only {instances:?} took the load");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_used_again_once_it_lets_go() -> Result<()> {
    let host = Host::serve(guest("backpressure")?).start().await?;
    let sent = load::tagged("b", 1, 5, &format!("{}/?wait=0", host.url())).await?;
    let served: Vec<_> = sent
        .answers
        .iter()
        .map(|(_, answer)| serde_json::from_slice::<Value>(&answer.body))
        .collect::<Result<_, _>>()?;
    ensure!(
        served
            .iter()
            .any(|report| report["served"].as_u64() > Some(1)),
        "five requests, one after another, were never served by the same instance: {served:?}"
    );
    Ok(())
}
