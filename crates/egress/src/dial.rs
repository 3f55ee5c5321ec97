//! Connects by TCP to one of several addresses.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(test)]
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::EgressError;
use crate::transport::Transport;

#[derive(Clone, Default)]
pub(crate) enum Dialler {
    #[default]
    Tcp,
    /// Records the addresses it would have dialled, and refuses: no packet leaves.
    #[cfg(test)]
    Refusing(Arc<Mutex<Vec<SocketAddr>>>),
    /// Connects within the process, whatever the address, and hands over the other end.
    #[cfg(test)]
    Memory(tokio::sync::mpsc::UnboundedSender<tokio::io::DuplexStream>),
}

/// Answers each look-up with the vetted addresses.
#[derive(Debug, Clone)]
struct Vetted(Vec<SocketAddr>);

// === impl Dialler ===

impl Dialler {
    /// Connects to the first address that answers, in their order; the other address family is tried after
    /// 300 milliseconds (happy eyeballs, RFC 8305). The addresses of a family share `timeout`, so that one
    /// that does not answer leaves time for the next. Returns the connection and its address.
    ///
    /// # Errors
    ///
    /// Returns [`EgressError::ConnectionRefused`], [`EgressError::ConnectTimeout`] or
    /// [`EgressError::Unreachable`] of the address that was tried last.
    pub(crate) async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        timeout: Duration,
    ) -> Result<(Transport, SocketAddr), EgressError> {
        match self {
            Self::Tcp => {
                let mut tcp = HttpConnector::new_with_resolver(Vetted(addresses));
                // A small request must not wait for an acknowledgement of the previous one.
                tcp.set_nodelay(true);
                tcp.set_connect_timeout(Some(timeout));
                // Names no port, so each address keeps its own.
                let whoever = Uri::from_static("http://vetted");
                let dialled = tcp.call(whoever).await.map_err(EgressError::of_dialling)?;
                let stream = dialled.into_inner();
                let peer = stream
                    .peer_addr()
                    .map_err(|error| EgressError::Unreachable(Arc::new(error)))?;
                Ok((Transport::Tcp(stream), peer))
            }
            #[cfg(test)]
            Self::Refusing(dialled) => {
                dialled.lock().unwrap().extend(addresses);
                Err(EgressError::ConnectionRefused)
            }
            #[cfg(test)]
            Self::Memory(upstream) => {
                let (near, far) = tokio::io::duplex(64 << 10);
                upstream
                    .send(far)
                    .map_err(|_gone| EgressError::ConnectionRefused)?;
                Ok((Transport::Memory(near), addresses[0]))
            }
        }
    }
}

// === impl Vetted ===

impl Service<Name> for Vetted {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;

    const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// Longer than a test may take, so the test fails if it waits.
    const LONG: Duration = Duration::from_secs(3_600);

    async fn listener(address: IpAddr) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that no longer answers: nothing accepts, and its queue of connections is full.
    struct Silent {
        address: SocketAddr,
        _listener: TcpListener,
        _waiting: JoinSet<()>,
    }

    async fn silent(address: IpAddr) -> Silent {
        let socket = match address {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }
        .unwrap();
        socket.bind(SocketAddr::new(address, 0)).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, mut connects) = mpsc::unbounded_channel();
        let mut waiting = JoinSet::new();
        for _ in 0..8 {
            let connected = connected.clone();
            waiting.spawn(async move {
                let _held = TcpStream::connect(address).await;
                let _ = connected.send(());
                std::future::pending().await
            });
        }
        // Linux has room for one more than the backlog.
        for _ in 0..2 {
            connects.recv().await.unwrap();
        }
        Silent {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }

    #[tokio::test]
    async fn a_connection_does_not_wait_for_acknowledgements() {
        let (_listener, address) = listener(FOUR).await;
        let dialled = Dialler::Tcp.dial(vec![address], LONG).await.unwrap();
        let (Transport::Tcp(stream), peer) = dialled else {
            panic!("{dialled:?}");
        };
        assert!(stream.nodelay().unwrap());
        assert_eq!(peer, address);
    }

    #[tokio::test]
    async fn an_address_that_refuses_leaves_the_next_its_turn() {
        for (dead, living) in [(SIX, FOUR), (FOUR, SIX), (FOUR, FOUR)] {
            let (closed, nobody) = listener(dead).await;
            drop(closed);
            let (_listener, address) = listener(living).await;
            let both = vec![nobody, address];
            let (_stream, peer) = Dialler::Tcp.dial(both, LONG).await.unwrap();
            assert_eq!(peer, address);
        }
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_does_not_cost_the_timeout() {
        for (dead, living) in [(SIX, FOUR), (FOUR, SIX)] {
            let silent = silent(dead).await;
            let (_listener, address) = listener(living).await;
            let both = vec![silent.address, address];
            let (_stream, peer) = Dialler::Tcp.dial(both, LONG).await.unwrap();
            assert_eq!(peer, address);
        }
    }

    #[tokio::test]
    async fn of_one_family_an_address_that_does_not_answer_leaves_time_for_the_next() {
        let silent = silent(FOUR).await;
        let (_listener, address) = listener(FOUR).await;
        let both = vec![silent.address, address];
        let timeout = Duration::from_millis(100);
        let (_stream, peer) = Dialler::Tcp.dial(both, timeout).await.unwrap();
        assert_eq!(peer, address);
    }

    #[tokio::test]
    async fn nobody_there_and_nobody_answering_are_told_apart() {
        let (closed, nobody) = listener(FOUR).await;
        drop(closed);
        let error = Dialler::Tcp.dial(vec![nobody], LONG).await.unwrap_err();
        assert!(matches!(error, EgressError::ConnectionRefused), "{error:?}");

        let silent = silent(FOUR).await;
        let timeout = Duration::from_millis(20);
        let error = Dialler::Tcp.dial(vec![silent.address], timeout).await;
        let error = error.unwrap_err();
        assert!(matches!(error, EgressError::ConnectTimeout), "{error:?}");
    }
}
