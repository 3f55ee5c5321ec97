//! The routes of a headwater.toml that need no guest.

use std::sync::Arc;

use anyhow::Result;
use headwater_config::{AnswerEntry, File, FilesEntry, RedirectEntry, RouteConfigs};
use headwater_core::Handler;
use headwater_core::fields::is_hop_by_hop;
use headwater_server::{Files, Fixed, Redirect, Route};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::build::running_service::hosts;
use crate::cli::parse_header_name;
use crate::diagnostics::Diagnostics;
use crate::spec::config_location::{AtKey, ConfigLocations, Misplaced};

pub(crate) struct Builtin {
    /// The description of what it does, for people.
    pub(crate) does: String,
    pub(crate) routes: Vec<BuiltinRoute>,
}

pub(crate) struct BuiltinRoute {
    pub(crate) route: Route,
    /// The middlewares in front of it, the outermost first.
    pub(crate) middleware: Vec<String>,
}

/// Returns all built-in answers of a file that can be served. `defaults` are the middlewares in front of those
/// that name none.
pub(crate) fn of(
    file: &File,
    defaults: Option<&[String]>,
    locations: &ConfigLocations,
    found: &mut Diagnostics,
) -> Vec<Builtin> {
    let mut builtins = Vec::new();
    for (index, entry) in file.redirect.iter().enumerate() {
        let mut found = found.entry(locations, "`[[redirect]]`", "redirect", index);
        builtins.extend(found.keep(redirect(entry, defaults)).flatten());
    }
    for (index, entry) in file.answer.iter().enumerate() {
        let mut found = found.entry(locations, "`[[answer]]`", "answer", index);
        builtins.extend(found.keep(answer(entry, defaults)).flatten());
    }
    for (index, entry) in file.files.iter().enumerate() {
        let mut found = found.entry(locations, "`[[files]]`", "files", index);
        builtins.extend(found.keep(files(entry, defaults)).flatten());
    }
    builtins
}

/// Returns `None` if a route is invalid. The check of all routes reports it.
fn redirect(
    entry: &RedirectEntry,
    defaults: Option<&[String]>,
) -> Result<Option<Builtin>, Misplaced> {
    let redirect = Redirect::new(&entry.to, entry.status).at("to")?;
    let does = format!("redirects to {} ({})", entry.to, entry.status);
    let middleware = entry.middleware.as_deref().or(defaults);
    let routes = routes(
        &entry.route,
        middleware,
        "redirect",
        Arc::new(redirect),
        true,
    );
    Ok(routes.map(|routes| Builtin { does, routes }))
}

fn answer(entry: &AnswerEntry, defaults: Option<&[String]>) -> Result<Option<Builtin>, Misplaced> {
    let answer = fixed(entry)?;
    let does = format!("answers {}", entry.status);
    let middleware = entry.middleware.as_deref().or(defaults);
    let routes = routes(&entry.route, middleware, "answer", Arc::new(answer), false);
    Ok(routes.map(|routes| Builtin { does, routes }))
}

fn files(entry: &FilesEntry, defaults: Option<&[String]>) -> Result<Option<Builtin>, Misplaced> {
    let files = Files::new(&entry.directory).at("directory")?;
    let does = format!("serves the files of {}", entry.directory.display());
    let middleware = entry.middleware.as_deref().or(defaults);
    let routes = routes(&entry.route, middleware, "files", Arc::new(files), true);
    Ok(routes.map(|routes| Builtin { does, routes }))
}

/// Returns the routes. `below` is true if the answer depends on the part of the path in place of
/// `...`.
fn routes(
    places: &RouteConfigs,
    middleware: Option<&[String]>,
    name: &str,
    handler: Arc<dyn Handler>,
    below: bool,
) -> Option<Vec<BuiltinRoute>> {
    let places = places.all();
    let routes = places.iter().map(|place| {
        let mut route = Route::new(&*place.path, name, handler.clone());
        route.hosts = hosts(&place.hosts).ok()?;
        route.strip_prefix = below && place.path.ends_with("/...");
        let middleware = place.middleware.as_deref().or(middleware);
        let middleware = middleware.unwrap_or_default().to_vec();
        Some(BuiltinRoute { route, middleware })
    });
    routes.collect()
}

fn fixed(entry: &AnswerEntry) -> Result<Fixed, Misplaced> {
    let status = u16::try_from(entry.status.get())?;
    if matches!(status, 204 | 205 | 304) && !entry.body.is_empty() {
        let wrong = anyhow::anyhow!(
            "an answer with the status {status} has no body: leave `body` out, or choose another status"
        );
        return Err(wrong).at("body");
    }
    let mut headers = HeaderMap::new();
    for (written, value) in &entry.headers {
        let key = format!("headers.{written}");
        let (name, value) = header(written, value).at(&*key)?;
        if headers.contains_key(&name) {
            let wrong = anyhow::anyhow!("the header field `{name}` is given twice: remove one");
            return Err(wrong).at(key);
        }
        headers.insert(name, value);
    }
    if !entry.body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    Ok(Fixed {
        status: StatusCode::from_u16(status)?,
        headers,
        body: entry.body.clone().into(),
    })
}

/// Reads a header field of an answer. Fields that describe how the answer is sent are refused: the
/// host sets them.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let name = parse_header_name(name).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(
        name != CONTENT_LENGTH && !is_hop_by_hop(&name),
        "the host sets the header field `{name}` itself, to say how an answer is sent: leave the field out"
    );
    let value = HeaderValue::from_str(value).map_err(|_invalid| {
        anyhow::anyhow!(
            "the value of the header field `{name}` has characters that are not allowed: write it on one line, \
             in printable characters"
        )
    })?;
    Ok((name, value))
}
