//! An upstream that misbehaves in the way that the path of a request selects: see [`script()`].
//!
//! It reads requests byte by byte, without an HTTP library, so that it sees exactly what is sent.
//! It records all requests with their connections.

mod message;
mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use message::Message;
pub use script::{Act, CHUNK, script};

use crate::within;

/// The time between two pieces of a slow response: so short that no test takes long, and far below
/// any timeout between two bytes.
const DRIP: Duration = Duration::from_millis(2);

/// A running upstream of this kind on a free port of 127.0.0.1. When it is dropped, its connections
/// end.
#[derive(Debug)]
pub struct Crooked {
    address: SocketAddr,
    seen: watch::Sender<Vec<Message>>,
    accepted: Arc<AtomicUsize>,
    ended: watch::Sender<usize>,
    task: AbortHandle,
}

impl Crooked {
    /// Starts an upstream that does for each request what the path selects.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start() -> Result<Self> {
        Self::with(None).await
    }

    /// Starts an upstream that performs these acts as soon as anything has arrived on a connection,
    /// and then waits for the connection's end. This can answer a TLS handshake.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn greeting(acts: Vec<Act>) -> Result<Self> {
        Self::with(Some(acts)).await
    }

    async fn with(greeting: Option<Vec<Act>>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("binding a port for the crooked upstream")?;
        let address = listener.local_addr()?;
        let seen = watch::Sender::new(Vec::new());
        let accepted = Arc::new(AtomicUsize::new(0));
        let ended = watch::Sender::new(0);
        let task = tokio::spawn({
            let (seen, accepted) = (seen.clone(), Arc::clone(&accepted));
            let ended = ended.clone();
            async move {
                // Dropped with this task, together with all connections.
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let connection = Connection {
                        number: accepted.fetch_add(1, Ordering::SeqCst),
                        stream,
                        read: Vec::new(),
                        seen: seen.clone(),
                    };
                    let (greeting, ended) = (greeting.clone(), ended.clone());
                    connections.spawn(async move {
                        // A client may leave at any time.
                        let _ = connection.serve(greeting).await;
                        ended.send_modify(|ended| *ended += 1);
                    });
                    while connections.try_join_next().is_some() {}
                }
            }
        })
        .abort_handle();
        Ok(Self {
            address,
            seen,
            accepted,
            ended,
            task,
        })
    }

    /// Returns the base URL, such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the same URL with `https`, although the upstream does not speak TLS.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Returns the requests until now, in the order in which their heads were complete.
    #[must_use]
    pub fn seen(&self) -> Vec<Message> {
        self.seen.borrow().clone()
    }

    /// Returns the last request.
    ///
    /// # Errors
    ///
    /// Returns an error if there was none.
    pub fn last(&self) -> Result<Message> {
        self.seen.borrow().last().cloned().context("no request")
    }

    /// Waits until there are at least `count` requests, and returns them.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Message>> {
        let mut seen = self.seen.subscribe();
        within(
            &format!("{count} requests at the crooked upstream"),
            seen.wait_for(|seen| seen.len() >= count),
        )
        .await??;
        Ok(self.seen())
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until all but `open` connections have ended.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_for_end_of_all_but(&self, open: usize) -> Result<()> {
        let mut ended = self.ended.subscribe();
        within(
            "the end of connections to the crooked upstream",
            ended.wait_for(|ended| self.accepted() <= ended + open),
        )
        .await??;
        Ok(())
    }
}

impl Drop for Crooked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that never accepts a connection. The connections that the system accepts by itself are
/// used up.
#[derive(Debug)]
pub struct Unaccepting {
    address: SocketAddr,
    _listener: TcpListener,
    _taken: Vec<TcpStream>,
}

impl Unaccepting {
    /// Listens, and fills the queue of connections that wait to be accepted.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start() -> Result<Self> {
        const BACKLOG: u32 = 1;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let mut taken = Vec::new();
        // Linux queues one more than the backlog, and does not answer further attempts.
        for _ in 0..=BACKLOG {
            taken.push(within("a place in the queue", TcpStream::connect(address)).await??);
        }
        Ok(Self {
            address,
            _listener: listener,
            _taken: taken,
        })
    }

    /// Returns the base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The state of a connection after an act.
enum Next {
    Go,
    End,
}

struct Connection {
    number: usize,
    stream: TcpStream,
    /// Bytes that have arrived and were not used yet.
    read: Vec<u8>,
    seen: watch::Sender<Vec<Message>>,
}

impl Connection {
    async fn serve(mut self, greeting: Option<Vec<Act>>) -> Result<()> {
        if let Some(acts) = greeting {
            self.more().await?;
            return match self.play(acts, 0).await? {
                Next::Go => self.until_closed().await,
                Next::End => Ok(()),
            };
        }
        loop {
            let Some(message) = self.head().await? else {
                return Ok(());
            };
            if !message.is_request() {
                self.note(message);
                return Ok(());
            }
            let (acts, index) = (script(message.path()), self.note(message));
            if let Next::End = self.play(acts, index).await? {
                return Ok(());
            }
        }
    }

    /// Records a message, and returns its index.
    fn note(&self, message: Message) -> usize {
        let mut index = 0;
        self.seen.send_modify(|seen| {
            index = seen.len();
            seen.push(message);
        });
        index
    }

    async fn play(&mut self, acts: Vec<Act>, index: usize) -> Result<Next> {
        for act in acts {
            match act {
                Act::Body => self.body(index).await?,
                Act::Send(bytes) => self.stream.write_all(&bytes).await?,
                Act::Drip(bytes) => {
                    for byte in bytes {
                        self.stream.write_all(&[byte]).await?;
                        tokio::time::sleep(DRIP).await;
                    }
                }
                Act::DripForever(piece) => loop {
                    self.stream.write_all(&piece).await?;
                    tokio::time::sleep(DRIP).await;
                },
                Act::SendForever(piece) => loop {
                    self.stream.write_all(&piece).await?;
                },
                Act::Pause(pause) => tokio::time::sleep(pause).await,
                Act::Hold => {
                    self.until_closed().await?;
                    return Ok(Next::End);
                }
                Act::Close => return Ok(Next::End),
                Act::Reset => {
                    // Closing with zero linger sends a reset.
                    self.stream.set_zero_linger()?;
                    return Ok(Next::End);
                }
            }
        }
        Ok(Next::Go)
    }

    /// Reads the head of the next message; `None` if the connection ends, or the input is not a
    /// head.
    async fn head(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(at) = self.read.windows(4).position(|it| it == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                return Ok(Some(Message::new(self.number, &head)));
            }
            if !self.more().await? {
                if !self.read.is_empty() {
                    // Whatever it is, it is not a whole request.
                    let rest = std::mem::take(&mut self.read);
                    self.note(Message::new(self.number, &rest));
                }
                return Ok(None);
            }
        }
    }

    /// Reads the message's body as its head announces it.
    async fn body(&mut self, index: usize) -> Result<()> {
        loop {
            let message = self.seen.borrow()[index].clone();
            if let Some((length, body, trailers)) = message.body_in(&self.read)? {
                self.read.drain(..length);
                self.seen.send_modify(|seen| {
                    let message = &mut seen[index];
                    message.body = Bytes::from(body);
                    message.trailers = trailers;
                    message.complete = true;
                });
                return Ok(());
            }
            if !self.more().await? {
                let rest = std::mem::take(&mut self.read);
                self.seen
                    .send_modify(|seen| seen[index].body = Bytes::from(rest));
                anyhow::bail!("the request's body was cut");
            }
        }
    }

    /// Reads the available bytes; returns false at the end.
    async fn more(&mut self) -> Result<bool> {
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }

    async fn until_closed(&mut self) -> Result<()> {
        while self.more().await? {
            self.read.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, client};
    use http::Request;

    #[tokio::test]
    async fn a_good_exchange_leaves_the_connection_for_the_next() {
        let crooked = Crooked::start().await.unwrap();
        let client = Client::new();
        for _ in 0..2 {
            let request = Request::post(format!("{}/ok", crooked.url()))
                .body(client::full("abc"))
                .unwrap();
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.text(), "fine\n");
        }
        let seen = crooked.seen();
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|it| it.complete && it.body == "abc"));
        assert_eq!(crooked.accepted(), 1);
    }

    #[tokio::test]
    async fn a_full_queue_leaves_connections_without_an_answer() {
        let unaccepting = Unaccepting::start().await.unwrap();
        let connecting = TcpStream::connect(unaccepting.address);
        let waited = tokio::time::timeout(Duration::from_millis(100), connecting).await;
        assert!(waited.is_err());
    }
}
