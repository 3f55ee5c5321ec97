//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::clock;
use crate::counts::Counted;
use crate::delivery::Delivery;
use crate::peer::Peer;
use crate::proxy::{self, Begun};
use crate::pulse::Pulse;
use crate::site::Site;
use crate::socket::Socket;
use crate::tls;
use crate::upload::Upload;
use crate::watched::Watched;

/// A connection on which HTTP comes next.
enum Greeted {
    Plain(Begun),
    Tls(Box<TlsStream<Begun>>),
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    stream: Socket,
    client: Option<SocketAddr>,
    site: Arc<Site>,
    pulse: Arc<Pulse>,
    counted: Counted,
) {
    if let Err(error) = stream.set_nodelay() {
        tracing::debug!(target: "headwater::server", ?client, %error, "TCP_NODELAY could not be set");
    }
    let mut peer = Peer {
        client,
        local: stream.local_addr(),
        origin: site.origin.clone(),
        certificate: None,
        introduction: OnceLock::new(),
    };
    let greeted = greet(stream, &mut peer, &site);
    match pulse.until_drained(greeted, site.times.idle_grace).await {
        Some(Ok(Greeted::Plain(stream))) => speak(stream, peer, &site, pulse).await,
        Some(Ok(Greeted::Tls(stream))) => speak(*stream, peer, &site, pulse).await,
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
        let reading = tokio::time::timeout(site.greeting(), proxy::read_header(stream));
        let (begun, proxied) = reading
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Some((source, destination)) = proxied {
            peer.client = Some(source);
            peer.local = Some(destination);
        }
        begun
    } else {
        Begun::from(stream)
    };
    let Some(identity) = &site.identity else {
        return Ok(Greeted::Plain(begun));
    };
    let (stream, certificate) = tls::accept(identity, begun).await?;
    peer.certificate = certificate;
    Ok(Greeted::Tls(Box::new(stream)))
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    site: &Site,
    pulse: Arc<Pulse>,
) {
    let client = peer.client;
    let peer = Arc::new(peer);
    let stream = Watched::new(stream, Arc::clone(&pulse), site.times.send);
    let service = {
        let (front, pulse) = (Arc::clone(&site.front), Arc::clone(&pulse));
        service_fn(move |request: Request<Incoming>| {
            let ticket = pulse.enter();
            let (front, peer) = (Arc::clone(&front), Arc::clone(&peer));
            async move {
                let version = request.version();
                let request = request.map(|body| Upload::new(body, &ticket));
                let mut response = front.respond(request, &peer).await;
                // By which hyper also closes, once this is sent.
                if version < Version::HTTP_2 && ticket.is_draining() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| Delivery::new(body, version, ticket)))
            }
        })
    };
    let connection = site.codec.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = clock::keep(connection, &pulse, &site.times).await {
        // A client that goes away or speaks no HTTP is the client's business.
        tracing::debug!(target: "headwater::server", ?client, error, "a connection ended early");
    }
}
