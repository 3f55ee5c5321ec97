//! Tests of what a service and its upstreams see, over real sockets.

mod bodies;
mod connections;
mod failures;
mod internal;
mod limits;
mod phases;
mod policy;
mod proxy;
mod sending;
mod tls;
mod tls_settings;
mod unasked;
