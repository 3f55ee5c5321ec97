//! What a client sees, over real sockets.

mod access;
mod answers;
mod bodies;
mod endings;
mod internal;
mod tls;
