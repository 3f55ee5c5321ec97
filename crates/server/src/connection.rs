//! One connection, from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio_rustls::server::TlsStream;

use crate::clients::{ClientShare, TooManyConnections};
use crate::clock;
use crate::conversation::{Conversation, Stream};
use crate::counts::Counted;
use crate::peer::{Peer, canonical};
use crate::proxy::{self, Begun};
use crate::pulse::Pulse;
use crate::refusal::Refusal;
use crate::service::{Parts, Service};
use crate::site::Site;
use crate::socket::Socket;
use crate::tls;
use crate::watched::Watched;

/// What is known of a connection when it is accepted.
pub(crate) struct Accepted {
    /// The other end of the socket.
    pub(crate) client: Option<SocketAddr>,
    /// Its part in what the client has open, if that is known by now.
    pub(crate) share: Option<Arc<ClientShare>>,
    pub(crate) counted: Counted,
}

/// What comes next on a connection.
enum Greeted {
    Plain(Begun),
    Tls(Box<TlsStream<Begun>>),
    /// Nothing: its client has too many. There is nobody to tell in clear where TLS is spoken.
    Refused(Option<Begun>),
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: Socket, accepted: Accepted, site: Arc<Site>, pulse: Arc<Pulse>) {
    let Accepted {
        client,
        share,
        counted,
    } = accepted;
    if let Err(error) = stream.set_nodelay() {
        tracing::debug!(target: "headwater::server", ?client, %error, "TCP_NODELAY could not be set");
    }
    // What a socket for both families says of IPv4 is not what all others say of it.
    let client = client.map(canonical);
    let mut peer = Peer {
        client,
        share,
        local: stream.local_addr().map(canonical),
        origin: site.origin.clone(),
        certificate: None,
        introduction: OnceLock::new(),
        names: OnceLock::new(),
    };
    // Each part is boxed, so that a connection takes up no more than the part that it is at.
    let greeted = {
        let greeted = Box::pin(greet(stream, &mut peer, &site));
        let greeted = pulse.until_drained(greeted, site.times.idle_grace);
        Box::pin(greeted).await
    };
    match greeted {
        Some(Ok(Greeted::Plain(stream))) => Box::pin(speak(stream, peer, &site, pulse)).await,
        Some(Ok(Greeted::Tls(stream))) => Box::pin(speak(*stream, peer, &site, pulse)).await,
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
                "a TLS handshake or a header of the PROXY protocol failed"
            );
        }
        None => counted.failed(),
    }
}

/// What comes before HTTP.
async fn greet(stream: Socket, peer: &mut Peer, site: &Site) -> io::Result<Greeted> {
    let begun = if site.proxy_protocol.expects_from(peer.client) {
        let reading = tokio::time::timeout(site.times.handshake, proxy::read_header(stream));
        let (begun, proxied) = reading
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Some((source, destination)) = proxied {
            peer.client = Some(canonical(source));
            peer.local = Some(canonical(destination));
        }
        match site.connect(peer.client) {
            Ok(share) => peer.share = share,
            Err(TooManyConnections) => {
                return Ok(Greeted::Refused(site.identity.is_none().then_some(begun)));
            }
        }
        begun
    } else {
        Begun::from(stream)
    };
    let Some(identity) = &site.identity else {
        return Ok(Greeted::Plain(begun));
    };
    let (stream, certificate) = tls::accept(identity, begun, site.times.handshake).await?;
    peer.certificate = certificate;
    Ok(Greeted::Tls(Box::new(stream)))
}

async fn speak<S: Stream>(stream: S, peer: Peer, site: &Site, pulse: Arc<Pulse>) {
    let client = peer.client;
    let stream = Watched::new(stream, Arc::clone(&pulse), site.times.send);
    let service = Service::new(Parts {
        front: Arc::clone(&site.front),
        peer,
        pulse: Arc::clone(&pulse),
    });
    let codec = Arc::clone(&site.codec);
    let conversation = Conversation::new(codec, Arc::clone(&pulse), stream, service);
    if let Err(error) = clock::keep(conversation, &pulse, &site.times).await {
        // A client that goes away or speaks no HTTP is the client's business.
        tracing::debug!(target: "headwater::server", ?client, error, "a connection ended early");
    }
}
