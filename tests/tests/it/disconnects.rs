//! Promise: a client that goes away makes room for the next one, wherever its request was. (C8)
//!
//! In each test there is room for one request, and no timeout ends anything while the test waits.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::instances::{self, Instances};
use headwater_tests::upstream::Behaviour;
use headwater_tests::{Answer, Client, Host, Upstream, client, within};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn before_the_response_head() -> Result<()> {
    for client in [Client::new(), Client::http2()] {
        let one = Room::start("fanout", &[]).await?;
        let leaving = one.get(client, &one.held);
        one.held.wait_for(1).await?;
        leaving.abort();
        one.is_free().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_body_that_the_guest_never_ends() -> Result<()> {
    in_the_middle_of("/drip").await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_a_body_whose_trailers_never_come() -> Result<()> {
    in_the_middle_of("/no-end").await
}

async fn in_the_middle_of(path: &str) -> Result<()> {
    for client in [Client::new(), Client::http2()] {
        let one = Room::start("faulty", &[]).await?;
        let url = format!("{}{path}", one.host.url());
        let response = client
            .open(Request::get(url).body(client::empty())?)
            .await?;
        ensure!(response.status() == 200);
        let mut body = response.into_body();
        let first = within("the first bytes", body.frame()).await?;
        let first = first.context("no body")??.into_data();
        ensure!(first.is_ok_and(|bytes| bytes == "first"));
        // The end of the client closes its connection, and the end of the body its stream.
        drop((body, client));
        one.is_free().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_nobody_waits_for_leaves_no_task_behind() -> Result<()> {
    let arguments = ["--max-requests-per-instance", "2", "--log", instances::LOG];
    let one = Room::start("fanout", &arguments).await?;
    let leaving = one.get(Client::new(), &one.held);
    one.held.wait_for(1).await?;
    leaving.abort();
    one.is_free().await?;
    // The guest has its answer now, and returns a response whose body nobody reads.
    one.held.release();
    let instances = Instances::of("fanout", one.host.stderr());
    instances.wait_retired(1, "served").await?;
    instances.wait_gone(1).await?;
    let log = one.host.stderr().text();
    ensure!(!log.contains("instance failed"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_queue() -> Result<()> {
    for leaver in [Client::new(), Client::http2()] {
        let one = Room::start("fanout", &["--max-queue", "1"]).await?;
        let inside = one.get(Client::new(), &one.held);
        one.held.wait_for(1).await?;

        // Two for one place in the queue: once one is refused, the other is in it.
        let waiting = [
            one.get(leaver.clone(), &one.held),
            one.get(leaver.clone(), &one.held),
        ];
        let (refused, _, waiting) = futures::future::select_all(waiting).await;
        let refused = refused??;
        ensure!(refused.is_refusal(), "{refused:?}");
        waiting.iter().for_each(JoinHandle::abort);

        // The place becomes free: repeated requests are not refused for ever.
        let waiting = within("a place in the queue", async {
            loop {
                let mut next = one.get(Client::new(), &one.held);
                // A refusal comes at once, and nothing else while the only instance is taken.
                let answer = tokio::time::timeout(Duration::from_secs(3), pin!(&mut next)).await;
                match answer {
                    Err(_) => return Ok(next),
                    Ok(answer) => ensure!(answer??.is_refusal()),
                }
            }
        })
        .await??;
        one.held.release();
        ensure!(inside.await??.status == 200);
        let answer = waiting.await??;
        ensure!(answer.status == 200, "{answer:?}");
        // The guest got none of the cancelled requests.
        ensure!(one.held.calls().len() == 2);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_leave_room_for_the_next() -> Result<()> {
    let one = Room::start("fanout", &["--max-queue", "100"]).await?;
    let leaving: Vec<_> = (0..40).map(|_| one.get(Client::new(), &one.held)).collect();
    one.held.wait_for(1).await?;
    leaving.iter().for_each(JoinHandle::abort);
    one.is_free().await?;
    Ok(())
}

/// A host with room for one request in one instance, and two upstreams, of which one never answers.
struct Room {
    host: Host,
    held: Upstream,
    prompt: Upstream,
}

impl Room {
    async fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let held = Upstream::with(Behaviour::Hold).await?;
        let prompt = Upstream::start().await?;
        let host = Host::serve(guest(name)?)
            .args(["--max-instances", "1", "--max-concurrent-per-instance", "1"])
            .args(["--timeout", "600s", "--queue-timeout", "600s"])
            .args(["--post-return-timeout", "600s", "--idle-timeout", "600s"])
            .args(["--allow-outgoing", &held.url()])
            .args(["--allow-outgoing", &prompt.url()])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { host, held, prompt })
    }

    fn get(&self, client: Client, upstream: &Upstream) -> JoinHandle<Result<Answer>> {
        let url = format!("{}/?to={}&k=1&wait=0", self.host.url(), upstream.url());
        tokio::spawn(async move { client.get(&url).await })
    }

    /// Checks that the next request is served.
    async fn is_free(&self) -> Result<()> {
        let next = self.get(Client::new(), &self.prompt).await?;
        let next = next.with_context(|| format!("the log:\n{}", self.host.stderr().text()))?;
        ensure!(next.status == StatusCode::OK, "{next:?}");
        Ok(())
    }
}
