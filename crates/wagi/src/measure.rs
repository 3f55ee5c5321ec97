//! Access to parts of a request for `cargo xtask bench`. Not for others: it changes without notice.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "for one benchmark, which says what it is for"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::{Response, request};

use crate::environment::{Facts, environment as environment_of};
use crate::head::HeadScanner;
use crate::response::compose;
use crate::settings::{Compat, WagiSettings};

pub fn environment<'a>(
    settings: &'a WagiSettings,
    head: &'a request::Parts,
    route: &'a str,
    client: SocketAddr,
) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
    environment_of(Facts {
        head,
        route,
        client: Some(client),
        content_length: 0,
        configured: &settings.environment,
        context: &[],
        default_host: &settings.default_host,
        compat: settings.compat,
        pass_authorization: settings.pass_authorization,
    })
}

/// Parses the head that a module printed, in one piece.
pub fn response_head(printed: &[u8]) -> Result<Response<()>, String> {
    let mut scanner = HeadScanner::default();
    scanner.push(printed).map_err(|error| error.to_string())?;
    let composed = compose(scanner.text(), Compat::Default).map_err(|error| error.to_string())?;
    Ok(composed.response)
}
