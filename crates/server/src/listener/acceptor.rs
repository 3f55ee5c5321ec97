//! Accepts the connections of all listeners, and drains them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};

use crate::connection::accepted::{self, Accepted};
use crate::connection::counts::ConnectionCounts;
use crate::connection::listener_context::ListenerContext;
use crate::connection::refusal::{Refusal, Refusals};
use crate::connection::socket::Socket;
use crate::connection::state::ConnectionState;
use crate::listener::back_off::BackOff;
use crate::listener::socket_listener::{Listener, accept_waiting};

/// Accepts connections and owns their tasks.
pub(crate) struct Acceptor {
    contexts: Vec<Arc<ListenerContext>>,
    counts: ConnectionCounts,
    runtimes: Vec<Handle>,
    next_runtime: usize,
    /// Owns the connections' tasks, so that none outlives the server.
    tasks: JoinSet<()>,
    pulses: HashMap<Id, Arc<ConnectionState>>,
    refusals: Refusals,
}

/// The way that serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeOutcome {
    /// Every request in flight was answered.
    Drained,
    /// The drain's time was over, and these connections were closed with requests in flight.
    Cut {
        /// The number of connections.
        connections: usize,
        /// The number of their requests in flight.
        requests: usize,
    },
}

// === impl Acceptor ===

impl Acceptor {
    pub(crate) fn new(
        contexts: Vec<Arc<ListenerContext>>,
        counts: ConnectionCounts,
        runtimes: Vec<Handle>,
    ) -> Self {
        Self {
            contexts,
            counts,
            runtimes,
            next_runtime: 0,
            tasks: JoinSet::new(),
            pulses: HashMap::new(),
            refusals: Refusals::default(),
        }
    }

    pub(crate) async fn accept(&mut self, listeners: &[Listener]) {
        let mut back_off = BackOff::new();
        let mut turn = 0;
        loop {
            match self.next(listeners, &mut turn).await {
                Ok((at, stream, client)) => {
                    back_off.succeeded();
                    self.admit(at, stream, client);
                }
                Err(error) => {
                    if let Some(wait) = back_off.failed(&error) {
                        tracing::warn!(
                            target: "headwater::server",
                            %error,
                            wait_ms = wait.as_millis(),
                            "connections cannot be accepted (out of file descriptors? see `ulimit -n`)"
                        );
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
    }

    /// Returns the next connection and its listener; meanwhile removes tasks that have ended.
    async fn next(
        &mut self,
        listeners: &[Listener],
        turn: &mut usize,
    ) -> io::Result<(usize, Socket, Option<SocketAddr>)> {
        loop {
            tokio::select! {
                accepted = poll_fn(|cx| poll_any(listeners, turn, cx)) => return accepted,
                Some(ended) = self.tasks.join_next_with_id() => self.report(ended),
            }
        }
    }

    fn admit(&mut self, at: usize, stream: Socket, client: Option<SocketAddr>) {
        let Some(context) = self.contexts.get(at) else {
            return;
        };
        // A PROXY header has not been read yet, so the client is unknown.
        let share = match context.proxy_protocol.expects_from(client) {
            true => Ok(None),
            false => context.connect(client),
        };
        let is_tls = context.identity.is_some();
        let Ok(share) = share else {
            self.counts.refuse_client(at);
            self.refusals.refuse(stream, is_tls, Refusal::ClientFull);
            return;
        };
        let Some(counted) = self.counts.admit(at) else {
            self.refusals.refuse(stream, is_tls, Refusal::Full);
            return;
        };
        let accepted = Accepted {
            client,
            share,
            counted,
        };
        let (context, state) = (Arc::clone(context), ConnectionState::new());
        let task = match self.runtimes.get(self.next_runtime) {
            None => {
                let served = accepted::serve(stream, accepted, context, Arc::clone(&state));
                self.tasks.spawn(served)
            }
            Some(runtime) => {
                self.next_runtime = (self.next_runtime + 1) % self.runtimes.len();
                let Ok(stream) = stream.into_raw() else {
                    return;
                };
                let begun = Arc::clone(&state);
                let served = async move {
                    // Fails only while the runtime shuts down.
                    if let Ok(stream) = Socket::adopt(stream) {
                        accepted::serve(stream, accepted, context, begun).await;
                    }
                };
                self.tasks.spawn_on(served, runtime)
            }
        };
        self.pulses.insert(task.id(), state);
    }

    /// Accepts the connections that are queued already, whose clients believe them to be open, and closes the
    /// listeners. The returned guards remove the files of sockets when dropped.
    pub(crate) fn take_remainder(&mut self, listeners: Vec<Listener>) -> Vec<impl Sized + use<>> {
        let mut files = Vec::new();
        for (at, listener) in listeners.into_iter().enumerate() {
            let Ok((listener, file)) = listener.into_raw() else {
                continue;
            };
            files.extend(file);
            while let Ok((stream, client)) = accept_waiting(&listener) {
                if let Ok(stream) = Socket::adopt(stream) {
                    self.admit(at, stream, client);
                }
            }
        }
        files
    }

    pub(crate) async fn drain(mut self, timeout: Duration) -> ServeOutcome {
        for state in self.pulses.values() {
            state.drain();
        }
        let ended = tokio::time::timeout(timeout, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.report(ended);
            }
        })
        .await;
        if ended.is_ok() {
            return ServeOutcome::Drained;
        }
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.report(ended);
        }
        let connections = self.tasks.len();
        // All listeners share one front.
        let front = self.contexts.first().map(|context| &context.front);
        let requests = front.map_or(0, |front| front.in_flight());
        self.tasks.shutdown().await;
        ServeOutcome::Cut {
            connections,
            requests,
        }
    }

    fn report(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(target: "headwater::server", %error, "a connection's task panicked");
                }
                error.id()
            }
        };
        self.pulses.remove(&id);
    }
}

/// Polls the listeners in turn, so that none keeps the others waiting.
fn poll_any(
    listeners: &[Listener],
    turn: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(usize, Socket, Option<SocketAddr>)>> {
    for _ in 0..listeners.len() {
        *turn = (*turn + 1) % listeners.len();
        if let Some(listener) = listeners.get(*turn)
            && let Poll::Ready(accepted) = listener.poll_accept(cx)
        {
            return Poll::Ready(accepted.map(|(stream, client)| (*turn, stream, client)));
        }
    }
    Poll::Pending
}
