//! One connection: its codec and its knobs.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::front::Front;
use crate::params::{ConnectionParams, Http1Params, Http2Params};
use crate::peer::Peer;
use crate::tls::Handshake;

/// Speaks HTTP/1 or HTTP/2 with clients, whichever they begin with.
pub(crate) type Codec = auto::Builder<TokioExecutor>;

/// Makes the codec that all connections of a server share. Each field is taken by name, so that one
/// which is not passed on does not compile.
pub(crate) fn codec(params: ConnectionParams) -> Codec {
    let ConnectionParams { http1, http2 } = params;
    let mut codec = auto::Builder::new(TokioExecutor::new());

    let Http1Params {
        header_read_timeout,
        keep_alive,
        half_close,
        max_buffer,
        max_headers,
        pipeline_flush,
        vectored_writes,
    } = http1;
    let mut h1 = codec.http1();
    h1.timer(TokioTimer::new())
        .header_read_timeout(header_read_timeout)
        .keep_alive(keep_alive)
        .half_close(half_close)
        // hyper panics below this.
        .max_buf_size(max_buffer.max(8 << 10))
        .pipeline_flush(pipeline_flush)
        .writev(vectored_writes)
        .auto_date_header(true)
        .ignore_invalid_headers(false)
        .title_case_headers(false)
        .preserve_header_case(false);
    if let Some(max_headers) = max_headers {
        h1.max_headers(max_headers);
    }

    let Http2Params {
        max_concurrent_streams,
        max_header_list_size,
        initial_stream_window,
        initial_connection_window,
        adaptive_window,
        max_frame_size,
        max_send_buffer,
        keep_alive_interval,
        keep_alive_timeout,
        max_pending_accept_reset_streams,
        max_local_error_reset_streams,
    } = http2;
    codec
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_concurrent_streams)
        .max_header_list_size(max_header_list_size)
        .initial_stream_window_size(initial_stream_window)
        .initial_connection_window_size(initial_connection_window)
        // Sets the windows itself, so only where it is wanted.
        .max_frame_size(max_frame_size.clamp(16 << 10, (1 << 24) - 1))
        .max_send_buf_size(max_send_buffer.min(u32::MAX as usize))
        .keep_alive_interval(keep_alive_interval)
        .keep_alive_timeout(keep_alive_timeout)
        .max_pending_accept_reset_streams(max_pending_accept_reset_streams)
        .max_local_error_reset_streams(max_local_error_reset_streams)
        .auto_date_header(true);
    if adaptive_window {
        // hyper resets both windows to the standard's with this, in either position.
        codec.http2().adaptive_window(true);
    }
    codec
}

/// Serves a connection to its end. On a drain it finishes the requests it has and takes no more.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: Peer,
    tls: Option<Handshake>,
    codec: Codec,
    front: Arc<Front>,
    watcher: Watcher,
) {
    // Answers are written when they are ready, and a small one must not wait for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(target: "headwater::server", client = ?peer.client, %error, "TCP_NODELAY could not be set");
    }
    let Some(tls) = tls else {
        return speak(stream, peer, codec, front, watcher).await;
    };
    match tls.accept(stream).await {
        Ok(stream) => speak(stream, peer, codec, front, watcher).await,
        Err(error) => {
            tracing::debug!(target: "headwater::server", client = ?peer.client, %error, "a TLS handshake failed");
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    codec: Codec,
    front: Arc<Front>,
    watcher: Watcher,
) {
    let client = peer.client;
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        let (front, peer) = (Arc::clone(&front), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(front.respond(request, &peer).await) }
    });
    let connection = codec.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        // A client that goes away or speaks no HTTP is the client's business.
        tracing::debug!(target: "headwater::server", ?client, error, "a connection ended early");
    }
}
