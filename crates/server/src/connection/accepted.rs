//! Serves one accepted connection from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::server::TlsStream;

use crate::admission::clients::{ClientShare, TooManyConnections};
use crate::connection::counts::Counted;
use crate::connection::http_connection::{HttpConnection, Stream};
use crate::connection::listener_context::ListenerContext;
use crate::connection::proxy_protocol;
use crate::connection::refusal::Refusal;
use crate::connection::service::{Parts, Service};
use crate::connection::socket::Socket;
use crate::connection::state::ConnectionState;
use crate::connection::timed_io::TimedIo;
use crate::connection::timeouts;
use crate::pipeline::peer::Peer;
use crate::request::forwarded::canonical;
use crate::tls;

pub(crate) struct Accepted {
    /// The address of the other end of the socket.
    pub(crate) client: Option<SocketAddr>,
    /// The client's share, if the client is known already.
    pub(crate) share: Option<Arc<ClientShare>>,
    pub(crate) counted: Counted,
}

/// The state of a connection after its TLS handshake and PROXY header.
enum Greeted {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    /// Its client has too many connections. Over TLS, there is no plain-text answer.
    Refused(Option<Socket>),
}

pub(crate) async fn serve(
    stream: Socket,
    accepted: Accepted,
    context: Arc<ListenerContext>,
    state: Arc<ConnectionState>,
) {
    let Accepted {
        client,
        share,
        counted,
    } = accepted;
    if let Err(error) = stream.set_nodelay() {
        tracing::debug!(target: "headwater::server", ?client, %error, "TCP_NODELAY could not be set");
    }
    // A dual-stack socket reports IPv4 clients as mapped IPv6 addresses.
    let client = client.map(canonical);
    let mut peer = Peer::new(client, stream.local_addr(), context.origin.clone());
    peer.share = share;
    // Each phase is boxed, so that a connection takes only the memory of its current phase.
    let greeted = {
        let greeted = Box::pin(greet(stream, &mut peer, &context));
        let greeted = state.until_drained(greeted, context.times.idle_grace);
        Box::pin(greeted).await
    };
    match greeted {
        Some(Ok(Greeted::Plain(stream))) => Box::pin(speak(stream, peer, &context, state)).await,
        Some(Ok(Greeted::Tls(stream))) => Box::pin(speak(*stream, peer, &context, state)).await,
        Some(Ok(Greeted::Refused(stream))) => {
            counted.refuse_client();
            if let Some(stream) = stream {
                Box::pin(Refusal::ClientFull.tell(stream)).await;
            }
        }
        Some(Err(error)) => {
            counted.failed();
            tracing::debug!(
                target: "headwater::server",
                ?client,
                %error,
                "a TLS handshake or PROXY header failed"
            );
        }
        None => counted.failed(),
    }
}

/// Reads the PROXY header and does the TLS handshake.
async fn greet(stream: Socket, peer: &mut Peer, context: &ListenerContext) -> io::Result<Greeted> {
    let begun = if context.proxy_protocol.expects_from(peer.client) {
        let reading =
            tokio::time::timeout(context.times.handshake, proxy_protocol::read_header(stream));
        let (begun, proxied) = reading
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Some((source, destination)) = proxied {
            peer.client = Some(canonical(source));
            peer.local = Some(canonical(destination));
        }
        match context.connect(peer.client) {
            Ok(share) => peer.share = share,
            Err(TooManyConnections) => {
                return Ok(Greeted::Refused(
                    context.identity.is_none().then_some(begun),
                ));
            }
        }
        begun
    } else {
        stream
    };
    let Some(identity) = &context.identity else {
        return Ok(Greeted::Plain(begun));
    };
    let (stream, certificate) = tls::accept(identity, begun, context.times.handshake).await?;
    peer.certificate = certificate;
    Ok(Greeted::Tls(Box::new(stream)))
}

async fn speak<S: Stream>(
    stream: S,
    peer: Peer,
    context: &ListenerContext,
    state: Arc<ConnectionState>,
) {
    let client = peer.client;
    let stream = TimedIo::new(stream, Arc::clone(&state), context.times.send);
    let service = Service(Arc::new(Parts {
        front: Arc::clone(&context.front),
        peer,
        state: Arc::clone(&state),
    }));
    let codec = Arc::clone(&context.codec);
    let connection = HttpConnection::new(codec, Arc::clone(&state), stream, service);
    if let Err(error) = timeouts::keep(connection, &state, &context.times).await {
        // Debug only: clients may go away or send anything.
        tracing::debug!(target: "headwater::server", ?client, error, "a connection ended early");
    }
}
