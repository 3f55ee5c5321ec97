//! Sends requests from many clients at once, each request with its own tag and trace.

use anyhow::{Context, Result};
use futures::future::try_join_all;

use crate::attribution::Ledger;
use crate::client::{Answer, Client};

/// The requests of a load and their answers.
#[derive(Debug, Default)]
pub struct Sent {
    /// The trace of each tag.
    pub ledger: Ledger,
    /// The answers, each with the tag of its request.
    pub answers: Vec<(String, Answer)>,
}

/// Sends `GET url` from `clients` clients at once, `rounds` times each, one after another. The tags
/// are `PREFIX-CLIENT-ROUND`.
///
/// # Errors
///
/// Returns an error if a request gets no answer; an error status is an answer.
pub async fn tagged(prefix: &str, clients: usize, rounds: usize, url: &str) -> Result<Sent> {
    let each = try_join_all((0..clients).map(async |client| {
        let connection = Client::new();
        let mut sent = Sent::default();
        for round in 0..rounds {
            let tag = format!("{prefix}-{client}-{round}");
            let parent = sent.ledger.enter(&tag);
            let answer = connection.get_tagged(url, &tag, &parent).await;
            let answer = answer.with_context(|| format!("client {client}, request {round}"))?;
            sent.answers.push((tag, answer));
        }
        anyhow::Ok(sent)
    }))
    .await?;
    Ok(each.into_iter().fold(Sent::default(), |mut all, one| {
        all.merge(one);
        all
    }))
}

impl Sent {
    /// Adds what another load sent.
    pub fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.answers.extend(other.answers);
    }
}
