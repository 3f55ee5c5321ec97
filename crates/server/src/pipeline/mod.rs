//! The steps of a request: parse, route, admit, scope, handler, answer.

pub(crate) mod admit;
pub(crate) mod front;
pub(crate) mod http_service;
pub(crate) mod in_flight_requests;
pub(crate) mod internal;
pub(crate) mod parse;
pub(crate) mod peer;
pub(crate) mod request_guard;
pub(crate) mod request_lifecycle;
pub(crate) mod response_body;
pub(crate) mod route;
