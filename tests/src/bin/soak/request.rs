//! Sends one request, and compares its result with the expected one.

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::{Answer, Client, client};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::kinds::Expected;

pub(crate) enum Outcome {
    AsExpected,
    Refused,
    Left,
}

/// Sends one request; an unexpected result is an error.
pub(crate) async fn send(client: &Client, expected: Expected, url: &str) -> Result<Outcome> {
    match expected {
        Expected::Status { status, or_refused } => {
            let answer = client.get(url).await?;
            if or_refused && answer.is_refusal() {
                return Ok(Outcome::Refused);
            }
            ensure!(answer.status == status, "{}", told(&answer));
            Ok(Outcome::AsExpected)
        }
        Expected::Cut => match client.get(url).await {
            Err(_) => Ok(Outcome::AsExpected),
            Ok(answer) if answer.is_refusal() => Ok(Outcome::Refused),
            Ok(answer) => bail!("a whole answer came: {}", told(&answer)),
        },
        Expected::Leave(after) => match timeout(after, client.get(url)).await {
            Err(_) => Ok(Outcome::Left),
            Ok(answer) => {
                let answer = answer?;
                if answer.is_refusal() {
                    return Ok(Outcome::Refused);
                }
                ensure!(answer.status == 200, "{}", told(&answer));
                Ok(Outcome::AsExpected)
            }
        },
        Expected::LeaveInBody => {
            let response = client
                .open(Request::get(url).body(client::empty())?)
                .await?;
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                return Ok(Outcome::Refused);
            }
            ensure!(response.status() == 200, "{}", response.status());
            let mut body = response.into_body();
            body.frame().await.context("the body is empty")??;
            Ok(Outcome::Left)
        }
    }
}

fn told(answer: &Answer) -> String {
    format!("{}: {}", answer.status, answer.text().trim())
}
