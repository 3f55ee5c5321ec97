//! The way of a request: parse, admit, route, scope, handler, answer.

pub(crate) mod front;
pub(crate) mod http_service;
pub(crate) mod in_flight_requests;
pub(crate) mod internal;
pub(crate) mod request_guard;
pub(crate) mod request_lifecycle;
