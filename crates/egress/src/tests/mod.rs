//! What a service and its upstreams see, over real sockets.

mod failures;
mod policy;
mod proxy;
mod sending;
mod tls;
mod tls_settings;
