//! A route as the front holds it.

use std::sync::Arc;

use headwater_core::Fault;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue};
use matchit::Params;
use tokio_util::sync::DropGuard;

use crate::admission::service_limits::ServiceLimits;
use crate::request::forwarded::X_FORWARDED_PREFIX;
use crate::request::target::bad_path;
use crate::routing::route::Route;

/// A route of a router, with derived data.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) route: Route,
    pub(crate) service_limits: Option<ServiceLimits>,
    /// The number of segments of a prefix pattern.
    pub(crate) depth: Option<usize>,
    /// The fields for the texts of its wildcards.
    pub(crate) fields: Vec<HeaderName>,
    /// All entries of a router hold this, and each request holds its entry.
    #[expect(dead_code, reason = "held, and never read")]
    pub(crate) in_use: Arc<DropGuard>,
}

/// The route of a path, with the texts of its wildcards.
pub(crate) struct Found<'r, 'p> {
    pub(crate) entry: &'r Arc<Entry>,
    pub(crate) parameters: Option<Params<'r, 'p>>,
}

// === impl Entry ===

impl Entry {
    /// Moves the prefix from the path to a field, after that of a proxy if there is one.
    pub(crate) fn strip_prefix(&self, parts: &mut Parts, by_proxy: bool) -> Result<(), Fault> {
        let path = parts.uri.path();
        let end = match self.depth {
            Some(depth) => path
                .match_indices('/')
                .nth(depth)
                .map_or(path.len(), |(at, _)| at),
            None => path.len(),
        };
        let (prefix, rest) = path.split_at(end);
        if !prefix.is_empty() {
            let before = parts.headers.get(X_FORWARDED_PREFIX).filter(|_| by_proxy);
            let mut whole = before.map_or_else(Vec::new, |before| before.as_bytes().to_vec());
            whole.extend_from_slice(prefix.as_bytes());
            let whole = HeaderValue::from_maybe_shared(bytes::Bytes::from(whole));
            parts
                .headers
                .insert(X_FORWARDED_PREFIX, whole.map_err(bad_path)?);
        }

        let rest = if rest.is_empty() { "/" } else { rest };
        let path = match parts.uri.query() {
            Some(query) => PathAndQuery::try_from(format!("{rest}?{query}")),
            None => PathAndQuery::try_from(rest),
        };
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(path.map_err(bad_path)?);
        parts.uri = Uri::from_parts(uri).map_err(bad_path)?;
        Ok(())
    }
}

// === impl Found ===

impl Found<'_, '_> {
    pub(crate) fn introduce(&self, headers: &mut HeaderMap) -> Result<(), Fault> {
        let Some(parameters) = &self.parameters else {
            return Ok(());
        };
        // The part below a prefix comes last, and has no field.
        for (field, (_, text)) in self.entry.fields.iter().zip(parameters.iter()) {
            let value = HeaderValue::from_str(text).map_err(bad_path)?;
            headers.insert(field.clone(), value);
        }
        Ok(())
    }
}
