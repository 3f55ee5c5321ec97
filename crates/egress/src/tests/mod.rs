//! What a service and its upstreams see, over real sockets.

mod bodies;
mod connections;
mod failures;
mod limits;
mod phases;
mod sending;
mod tls;
