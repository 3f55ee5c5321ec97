//! A handler that serves the files of a directory.

mod backend;
mod range;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_RANGE, LOCATION, VARY};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body_util::BodyExt;
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use self::backend::Beneath;
use self::range::{Asked, Range};
use crate::request::forwarded::X_FORWARDED_PREFIX;

/// Serves the files of a directory to GET and HEAD requests.
///
/// Supports ranges, content types, `ETag`, `Last-Modified` and conditional requests. In place of `x`, serves
/// `x.br`, `x.zst` or `x.gz` to clients that accept it; in place of a folder, its `index.html`.
///
/// Serves only what is below the directory: no link leads out of it, names that begin with a dot are hidden
/// (except `/.well-known`, RFC 8615), and folders are not listed. The directory may be replaced while it is
/// served.
#[derive(Debug, Clone)]
pub struct Files {
    directory: ServeDir<DefaultServeDirFallback, Beneath>,
}

/// An error of a directory that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve the files of {}: {source}: name a directory that exists and may be read", .directory.display()
)]
pub struct FilesError {
    directory: PathBuf,
    source: io::Error,
}

// === impl Files ===

impl Files {
    /// Serves this directory. The request's path is relative to it, so a route at a prefix has to strip that
    /// ([`strip_prefix`](crate::Route::strip_prefix)).
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such directory, or it cannot be read.
    pub fn new(directory: impl AsRef<Path>) -> Result<Self, FilesError> {
        let directory = directory.as_ref();
        let error = |source| FilesError {
            directory: directory.to_owned(),
            source,
        };
        let whole = std::path::absolute(directory).map_err(error)?;
        let beneath = Beneath::new(whole).map_err(error)?;
        Ok(Self {
            directory: ServeDir::with_backend("", beneath)
                .precompressed_br()
                .precompressed_zstd()
                .precompressed_gzip(),
        })
    }
}

impl Files {
    async fn ask(&self, mut head: request::Parts, asked: Asked) -> Result<Response<Body>, Fault> {
        asked.put(&mut head.headers);
        let request = Request::from_parts(head, headwater_core::empty());
        match self.directory.clone().try_call(request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
            Err(error) if is_absence(&error) => Err(absent()),
            Err(error) => Err(Fault::host("files").caused_by(error)),
        }
    }
}

impl Handler for Files {
    fn handle(&self, request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let files = self.clone();
        let (head, _unread) = request.into_parts();
        Box::pin(async move {
            let asked = Asked::by(&head);
            let mut response = files.ask(head.clone(), asked).await?;
            // A longer suffix range means the whole file (RFC 9110 14.1.2); the length is known only now.
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && asked.is_of_any() {
                let all = Asked::Range(Range::From(0));
                response = files.ask(head.clone(), all).await?;
            }
            match response.status() {
                StatusCode::NOT_FOUND => return Err(absent()),
                StatusCode::TEMPORARY_REDIRECT => {
                    let prefix = head.headers.get(X_FORWARDED_PREFIX);
                    let prefix = prefix.map_or(&[][..], HeaderValue::as_bytes);
                    with_slash(&mut response, prefix, &head.uri)?;
                }
                // The same fields as in the 200 (RFC 9110 15.4.5).
                StatusCode::NOT_MODIFIED => {
                    let vary = HeaderValue::from_name(ACCEPT_ENCODING);
                    response.headers_mut().insert(VARY, vary);
                }
                // An empty file has no first byte.
                StatusCode::PARTIAL_CONTENT if is_of_none(&response) => {
                    let none = HeaderValue::from_static("bytes */0");
                    return Err(unsatisfiable().with_field(CONTENT_RANGE, none));
                }
                status @ StatusCode::METHOD_NOT_ALLOWED => {
                    let text = "files support only GET and HEAD";
                    let fault = Fault::client(status, "method", text);
                    return Err(with(ALLOW, &response, fault));
                }
                status @ StatusCode::PRECONDITION_FAILED => {
                    let text = "the file does not meet the request's condition";
                    return Err(Fault::client(status, "precondition", text));
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Err(with(CONTENT_RANGE, &response, unsatisfiable()));
                }
                _ => {}
            }
            Ok(response)
        })
    }
}

/// Returns true for a range of an empty file: tower-http accepts `bytes=0-` of one.
fn is_of_none(response: &Response<Body>) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    range.is_some_and(|range| range.as_bytes().ends_with(b"/0"))
}

fn with(name: HeaderName, response: &Response<Body>, fault: Fault) -> Fault {
    match response.headers().get(&name) {
        Some(value) => fault.with_field(name, value.clone()),
        None => fault,
    }
}

/// Redirects a request for a folder to its path with a slash, on this host whatever the folder's name.
fn with_slash(response: &mut Response<Body>, prefix: &[u8], uri: &http::Uri) -> Result<(), Fault> {
    let whole = [prefix, uri.path().as_bytes()].concat();
    // Browsers take `//host` and `/\host` for another host.
    let begin = whole
        .iter()
        .position(|byte| !matches!(byte, b'/' | b'\\'))
        .unwrap_or(whole.len());
    let mut location = [b"/", &whole[begin..], b"/"].concat();
    if let Some(query) = uri.query() {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    let location = HeaderValue::from_bytes(&location).map_err(|_| absent())?;
    response.headers_mut().insert(LOCATION, location);
    Ok(())
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename
    )
}

fn absent() -> Fault {
    Fault::client(
        StatusCode::NOT_FOUND,
        "no_file",
        "there is no file at this path",
    )
}

fn unsatisfiable() -> Fault {
    Fault::client(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range",
        "the requested range is outside the file",
    )
}
