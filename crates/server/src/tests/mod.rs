//! What a client sees, over real sockets.

mod access;
mod answers;
mod bodies;
mod builtin;
mod endings;
mod internal;
mod limits;
mod tls;
