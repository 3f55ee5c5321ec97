use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::challenge::Challenge;
use crate::credentials;
use crate::digest::Digest;
use crate::manifest::{ACCEPTED, Content, Manifest};
use crate::reference::is_this_machine;
use crate::{OciError, Reference};

/// The largest manifest: the specification asks registries to take 4 MiB.
const MANIFEST: usize = 4 << 20;

/// The largest module. Interpreters with all their library built in are some tens of MiB.
const MODULE: usize = 512 << 20;

/// The timeout of one answer, its body included.
const MANIFEST_WITHIN: Duration = Duration::from_secs(30);
const MODULE_WITHIN: Duration = Duration::from_secs(300);

/// The timeout of a credential helper, which is a program of the user's.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// The maximum number of redirects. Registries redirect blobs once or twice.
const REDIRECTS: usize = 5;

/// The maximum depth of indices, which could lead to one another for ever.
const DEPTH: usize = 3;

/// A registry, asked for one reference.
pub(crate) struct Registry<'a> {
    reference: &'a Reference,
    /// Trusts the certificates of this machine, if TLS is used.
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    authorization: Option<HeaderValue>,
    /// The credentials, once the registry asks for them, or why they cannot be used.
    credentials: Result<Option<HeaderValue>, String>,
}

type Answer = Response<Bytes>;

impl<'a> Registry<'a> {
    pub(crate) fn new(reference: &'a Reference) -> Result<Self, OciError> {
        let with_roots = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider());
        let connector = with_roots.map_err(|error| OciError::Unreachable {
            registry: reference.registry().to_owned(),
            source: error.into(),
        })?;
        let connector = connector.https_or_http().enable_all_versions().build();
        Ok(Self {
            reference,
            client: Client::builder(TokioExecutor::new()).build(connector),
            authorization: None,
            credentials: Ok(None),
        })
    }

    pub(crate) async fn layer(&mut self) -> Result<Digest, OciError> {
        let mut name = self.reference.manifest();
        for _ in 0..DEPTH {
            let path = format!("manifests/{name}");
            let bytes = self.get(&path, MANIFEST, MANIFEST_WITHIN).await?;
            if let Some(expected) = Digest::parse(&name) {
                self.verify(&path, &bytes, &expected)?;
            }
            let manifest: Manifest = serde_json::from_slice(&bytes)
                .map_err(|error| self.malformed(&path, format!("a broken manifest ({error})")))?;
            match manifest.content() {
                Content::Layer(digest) => return Ok(digest),
                Content::Manifest(digest) => name = digest.to_string(),
                Content::Nothing(found) => {
                    return Err(OciError::NoModule {
                        reference: self.reference.to_string(),
                        found,
                    });
                }
            }
        }
        Err(self.malformed(&name, "an index of indices".to_owned()))
    }

    pub(crate) async fn blob(&mut self, digest: &Digest) -> Result<Bytes, OciError> {
        let path = format!("blobs/{digest}");
        let bytes = self.get(&path, MODULE, MODULE_WITHIN).await?;
        self.verify(&path, &bytes, digest)?;
        Ok(bytes)
    }

    fn verify(&self, path: &str, bytes: &[u8], expected: &Digest) -> Result<(), OciError> {
        let found = Digest::of(bytes);
        if found == *expected {
            return Ok(());
        }
        Err(self.malformed(path, format!("other bytes ({found})")))
    }

    async fn get(&mut self, path: &str, limit: usize, within: Duration) -> Result<Bytes, OciError> {
        match tokio::time::timeout(within, self.get_authorized(path, limit)).await {
            Ok(got) => got,
            Err(_elapsed) => Err(OciError::Timeout(self.reference.registry().to_owned())),
        }
    }

    /// Sends a request, and repeats it with credentials if the registry asks for them.
    async fn get_authorized(&mut self, path: &str, limit: usize) -> Result<Bytes, OciError> {
        let uri = format!("{}/{path}", self.reference.base());
        let mut answer = self.follow(path, &uri, limit).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.authorization = self.authorize(answer.headers()).await?;
            if self.authorization.is_some() {
                answer = self.follow(path, &uri, limit).await?;
            }
        }
        let (registry, what) = (self.reference.registry().to_owned(), self.what(path));
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(OciError::Unauthorized {
                whom: match &self.credentials {
                    Ok(Some(_)) => "with your credentials".to_owned(),
                    Ok(None) => "without credentials".to_owned(),
                    Err(problem) => {
                        format!(
                            "without credentials (those of `docker login` cannot be used: {problem})"
                        )
                    }
                },
                registry,
                what,
            }),
            StatusCode::NOT_FOUND => Err(OciError::NotFound { registry, what }),
            status => Err(OciError::Status {
                registry,
                what,
                status: status.as_u16(),
            }),
        }
    }

    /// Returns the `authorization` to send after this refusal.
    async fn authorize(&mut self, refusal: &HeaderMap) -> Result<Option<HeaderValue>, OciError> {
        let registry = self.reference.registry().to_owned();
        let found = tokio::task::spawn_blocking(move || credentials::find(&registry));
        self.credentials = match tokio::time::timeout(CREDENTIALS, found).await {
            Ok(found) => found.unwrap_or_else(|_| Err("the process is ending".to_owned())),
            Err(_) => Err(format!(
                "the credential helper did not answer in {} seconds",
                CREDENTIALS.as_secs()
            )),
        };
        let credentials = self.credentials.as_ref().unwrap_or_else(|problem| {
            let registry = self.reference.registry();
            tracing::warn!(registry, "credentials cannot be used: {problem}");
            &None
        });
        let challenge = refusal
            .get(WWW_AUTHENTICATE)
            .and_then(|value| Challenge::parse(value.to_str().ok()?));
        match challenge {
            Some(Challenge::Bearer(bearer)) => {
                let uri = bearer.uri(self.reference.repository());
                let answer = self.send(&uri, credentials.as_ref(), MANIFEST).await?;
                let token = serde_json::from_slice::<Token>(answer.body())
                    .ok()
                    .and_then(Token::text);
                let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
                Ok(bearer.and_then(Result::ok))
            }
            Some(Challenge::Basic) => Ok(credentials.clone()),
            None => Ok(None),
        }
    }

    /// Sends a request and follows redirects. Credentials go to the registry alone.
    async fn follow(&self, path: &str, uri: &str, limit: usize) -> Result<Answer, OciError> {
        let own = uri.parse::<Uri>().ok();
        let own = own.as_ref().and_then(Uri::authority);
        let mut uri = uri.to_owned();
        for _ in 0..=REDIRECTS {
            let parsed = uri.parse::<Uri>().ok();
            let authority = parsed.as_ref().and_then(Uri::authority);
            let authorization = match authority == own {
                true => self.authorization.as_ref(),
                false => None,
            };
            let answer = self.send(&uri, authorization, limit).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let Some(location) = location else {
                return Err(self.malformed(path, "a redirect to nowhere".to_owned()));
            };
            uri = match (location.starts_with('/'), &parsed, authority) {
                (true, Some(from), Some(authority)) => {
                    let scheme = from.scheme().unwrap_or(&Scheme::HTTPS);
                    format!("{scheme}://{authority}{location}")
                }
                _ => location.to_owned(),
            };
        }
        Err(self.malformed(path, "too many redirects".to_owned()))
    }

    async fn send(
        &self,
        uri: &str,
        authorization: Option<&HeaderValue>,
        limit: usize,
    ) -> Result<Answer, OciError> {
        let unreachable =
            |source: Box<dyn std::error::Error + Send + Sync>| OciError::Unreachable {
                registry: self.reference.registry().to_owned(),
                source,
            };
        let uri: Uri = uri.parse().map_err(|error| unreachable(Box::new(error)))?;
        let host = uri.authority().map_or("", |authority| authority.as_str());
        if uri.scheme() != Some(&Scheme::HTTPS) && !is_this_machine(host) {
            return Err(unreachable(
                format!("it leads to {uri}, which is not encrypted").into(),
            ));
        }
        let mut request = Request::get(uri).header(ACCEPT, format!("{ACCEPTED}, */*"));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::default())
            .map_err(|error| unreachable(Box::new(error)))?;
        let answer = self.client.request(request).await;
        let (head, body) = answer
            .map_err(|error| unreachable(Box::new(error)))?
            .into_parts();
        let body = Limited::new(body, limit)
            .collect()
            .await
            .map_err(unreachable)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn what(&self, path: &str) -> String {
        format!("{}/{path}", self.reference.repository())
    }

    fn malformed(&self, path: &str, problem: String) -> OciError {
        OciError::Malformed {
            registry: self.reference.registry().to_owned(),
            what: self.what(path),
            problem,
        }
    }
}

/// The answer of a token server: either name is in use.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    fn text(self) -> Option<String> {
        self.token.or(self.access_token)
    }
}
