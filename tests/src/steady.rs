//! Clients that send requests continuously over their own connections and never retry, so that lost
//! requests are noticed.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::within;

/// The result of a load.
#[derive(Debug, Default)]
pub struct Steady {
    /// Requests that were answered completely.
    pub answered: u64,
    /// Answers that announced the end of the connection.
    pub told_to_close: u64,
}

/// The condition on which a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After this many requests.
    Requests(u64),
    /// When the server has announced the end of the connection and has closed it.
    ToldToClose,
}

/// Makes `clients` clients request `path` of a host at `url`, and passes each answer to `check`.
///
/// # Errors
///
/// Returns an error if a request on an open connection gets no complete answer, or if `check`
/// fails.
pub async fn ask(
    url: &str,
    path: &str,
    clients: usize,
    until: Until,
    check: impl Fn(StatusCode, &Bytes) -> Result<()>,
) -> Result<Steady> {
    let address = url.trim_start_matches("http://");
    let check = &check;
    let each = try_join_all((0..clients).map(async |client| {
        let one = one(address, path, until, check).await;
        one.with_context(|| format!("client {client}"))
    }))
    .await?;
    Ok(each.into_iter().fold(Steady::default(), |sum, one| Steady {
        answered: sum.answered + one.answered,
        told_to_close: sum.told_to_close + one.told_to_close,
    }))
}

async fn one(
    address: &str,
    path: &str,
    until: Until,
    check: &impl Fn(StatusCode, &Bytes) -> Result<()>,
) -> Result<Steady> {
    let mut done = Steady::default();
    let mut connection = None;
    while Until::Requests(done.answered) != until {
        let mut open = match connection.take() {
            Some(open) => open,
            None => connect(address).await?,
        };
        let request = Request::get(path)
            .header(HOST, address)
            .body(Empty::<Bytes>::new())?;
        let answered = format!("request {}", done.answered);
        let response = within(&answered, open.send_request(request))
            .await?
            .with_context(|| format!("{answered} has no answer"))?;
        let (head, body) = response.into_parts();
        let body = within(&answered, body.collect())
            .await?
            .with_context(|| format!("{answered} has half an answer"))?
            .to_bytes();
        check(head.status, &body).with_context(|| answered.clone())?;
        done.answered += 1;
        if head
            .headers
            .get(CONNECTION)
            .is_some_and(|value| value == "close")
        {
            done.told_to_close += 1;
            if until == Until::ToldToClose {
                break;
            }
        } else {
            within("the connection to be ready", open.ready()).await??;
            connection = Some(open);
        }
    }
    Ok(done)
}

async fn connect(address: &str) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
