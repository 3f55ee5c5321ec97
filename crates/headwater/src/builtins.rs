//! What a headwater.toml has answered without a guest.

use std::sync::Arc;

use anyhow::{Context, Result};
use headwater_config::{AnswerEntry, File, Places};
use headwater_core::Handler;
use headwater_server::{Files, Fixed, Redirect, Route};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::services::hosts;

/// What is built in, at its routes.
pub(crate) struct Builtin {
    /// What it does, for those who read what is served.
    pub(crate) does: String,
    pub(crate) routes: Vec<Route>,
}

/// All of a file.
pub(crate) fn of(file: &File) -> Result<Vec<Builtin>> {
    let mut builtins = Vec::new();
    for entry in &file.redirect {
        let redirect = Redirect::new(&entry.to, entry.status).context("in a `[[redirect]]`")?;
        builtins.push(Builtin {
            does: format!("redirects to {} ({})", entry.to, entry.status),
            routes: routes(&entry.route, "redirect", Arc::new(redirect), true)
                .context("in a `[[redirect]]`")?,
        });
    }
    for entry in &file.answer {
        let answer = fixed(entry).context("in an `[[answer]]`")?;
        builtins.push(Builtin {
            does: format!("answers {}", entry.status),
            routes: routes(&entry.route, "answer", Arc::new(answer), false)
                .context("in an `[[answer]]`")?,
        });
    }
    for entry in &file.files {
        let files = Files::new(&entry.directory).context("in a `[[files]]`")?;
        builtins.push(Builtin {
            does: format!("serves the files of {}", entry.directory.display()),
            routes: routes(&entry.route, "files", Arc::new(files), true)
                .context("in a `[[files]]`")?,
        });
    }
    Ok(builtins)
}

/// `below`: what it does depends on what stands in place of `...`.
fn routes(
    places: &Places,
    name: &str,
    handler: Arc<dyn Handler>,
    below: bool,
) -> Result<Vec<Route>> {
    let places = places.all();
    let routes = places.iter().map(|place| {
        let mut route = Route::new(&*place.path, name, handler.clone());
        route.hosts = hosts(&place.hosts)?;
        route.strip_prefix = below && place.path.ends_with("/...");
        Ok(route)
    });
    routes.collect()
}

fn fixed(entry: &AnswerEntry) -> Result<Fixed> {
    let mut headers = HeaderMap::new();
    if !entry.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    for (name, value) in &entry.headers {
        let name: HeaderName = name
            .parse()
            .with_context(|| format!("`{name}` is no name of a header field"))?;
        let value = HeaderValue::from_str(value)
            .with_context(|| format!("`{value}` cannot be the value of a header field"))?;
        headers.insert(name, value);
    }
    let status = u16::try_from(entry.status.get())?;
    Ok(Fixed {
        status: StatusCode::from_u16(status)?,
        headers,
        body: entry.body.clone().into(),
    })
}
