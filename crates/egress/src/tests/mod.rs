//! What a service and its upstreams see, over real sockets.

mod failures;
mod internal;
mod sending;
mod tls;
