//! Files of a directory.

mod backend;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope};
use http::header::{IF_RANGE, LOCATION, RANGE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use self::backend::Beneath;
use crate::forwarded::X_FORWARDED_PREFIX;

/// Serves the files of a directory: whole or in ranges, with their types, `ETag` and
/// `Last-Modified`, and by conditional requests; in place of `x` the file `x.br`, `x.zst` or `x.gz`
/// to clients that take it; of a folder its `index.html`. To GET and HEAD alone.
///
/// What is below the directory is served and nothing else: no link leads out of it, no name that
/// begins with a dot is found (but `/.well-known`, RFC 8615), and no folder is listed. The directory
/// may be replaced while it is served.
#[derive(Debug, Clone)]
pub struct Files {
    directory: ServeDir<DefaultServeDirFallback, Beneath>,
}

/// Why files cannot be served.
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
    /// Serves this directory. The request's path is that below it, so a route at a prefix strips
    /// that ([`strip_prefix`](crate::Route::strip_prefix)).
    ///
    /// # Errors
    ///
    /// When there is no such directory, or it cannot be read.
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

impl Handler for Files {
    fn handle(&self, mut request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let mut directory = self.directory.clone();
        Box::pin(async move {
            // tower-http does not look at it, and a range of a file that has changed since would be
            // joined to one of the file as it was. A whole answer is always right (RFC 9110 13.1.5).
            if request.headers().contains_key(IF_RANGE) {
                request.headers_mut().remove(RANGE);
            }
            let prefix = request.headers().get(X_FORWARDED_PREFIX).cloned();
            let path = request.uri().clone();
            let mut response = match directory.try_call(request).await {
                Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
                Err(error) if is_absence(&error) => return Err(absent()),
                Err(error) => return Err(Fault::host("files").caused_by(error)),
            };
            match response.status() {
                StatusCode::NOT_FOUND => return Err(absent()),
                StatusCode::TEMPORARY_REDIRECT => {
                    let prefix = prefix.as_ref().map_or(&[][..], HeaderValue::as_bytes);
                    with_slash(&mut response, prefix, &path)?;
                }
                _ => {}
            }
            Ok(response)
        })
    }
}

/// Where a folder is that was asked for without its slash: on this host, whatever its name.
fn with_slash(response: &mut Response<Body>, prefix: &[u8], uri: &http::Uri) -> Result<(), Fault> {
    let whole = [prefix, uri.path().as_bytes()].concat();
    // A browser takes `//host` and `/\host` for another host.
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
