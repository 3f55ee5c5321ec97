//! hyper's HTTP/1 and HTTP/2 servers, configured by [`ConnectionParams`].

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use crate::connection::h2_streams::Streams;
use crate::params::{ConnectionParams, Http1Params, Http2Params};

pub(crate) struct Codec {
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<Streams>,
}

/// Makes the codec of all connections. Each field is taken by name: one that is not passed on does not compile.
pub(crate) fn codec(params: &ConnectionParams) -> Codec {
    let ConnectionParams {
        http1,
        http2,
        send_timeout,
        // `timeouts` enforces these.
        keep_alive_timeout: _,
        handshake_timeout: _,
        header_read_timeout: _,
    } = params.clone();

    let Http1Params {
        keep_alive,
        half_close,
        max_buffer,
        max_headers,
        pipeline_flush,
        vectored_writes,
    } = http1;
    let mut h1 = http1::Builder::new();
    h1.timer(TokioTimer::new())
        // hyper starts this timeout when it waits for a head, so it would limit idle connections.
        .header_read_timeout(None)
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
    let mut h2 = http2::Builder::new(Streams { send_timeout });
    h2.timer(TokioTimer::new())
        .max_concurrent_streams(max_concurrent_streams)
        .max_header_list_size(max_header_list_size)
        .initial_stream_window_size(initial_stream_window)
        .initial_connection_window_size(initial_connection_window)
        .max_frame_size(max_frame_size.clamp(16 << 10, (1 << 24) - 1))
        .max_send_buf_size(max_send_buffer.min(u32::MAX as usize))
        .keep_alive_interval(keep_alive_interval)
        .keep_alive_timeout(keep_alive_timeout)
        .max_pending_accept_reset_streams(max_pending_accept_reset_streams)
        .max_local_error_reset_streams(max_local_error_reset_streams)
        .auto_date_header(true);
    if adaptive_window {
        // hyper then resets both windows to the standard's.
        h2.adaptive_window(true);
    }
    Codec {
        http1: h1,
        http2: h2,
    }
}
