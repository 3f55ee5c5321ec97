//! Tests of what a client sees, over real sockets.

mod access;
mod answers;
mod bodies;
mod broken_bodies;
mod builtin;
mod certificates;
mod clients;
mod drain;
mod endings;
mod floods;
mod internal;
mod late_bodies;
mod limits;
mod listeners;
mod methods;
mod odd_heads;
mod proxies;
mod times;
mod tls;
