//! Upstreams that speak TLS, with certificates of an authority that the test creates.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A certificate authority, and its file for a host (`SSL_CERT_FILE`).
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

/// A flaw of a TLS upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// No flaw.
    None,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is for another host.
    OtherName,
    /// It requests a client certificate (by TLS 1.2).
    WantsCertificate,
}

/// An upstream that speaks HTTP/1.1 or HTTP/2 over TLS, as negotiated. It answers by path:
///
/// - `/trailers`: `fine\n` with trailers;
/// - `/reset`: ends the stream (HTTP/2) or the connection without an answer;
/// - `/reset-in-body`: ends it after four bytes of the body;
/// - anything else: `fine\n`.
#[derive(Debug)]
pub struct TlsUpstream {
    address: SocketAddr,
    task: AbortHandle,
}

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

impl Authority {
    /// Creates a new authority.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no temporary folder.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut file = NamedTempFile::with_prefix("authority-")?;
        file.write_all(issuer.pem().as_bytes())?;
        Ok(Self { issuer, file })
    }

    /// Returns the path of its certificate.
    ///
    /// # Errors
    ///
    /// Returns an error if the path is not UTF-8.
    pub fn path(&self) -> Result<&str> {
        self.file.path().to_str().context("the path is no UTF-8")
    }

    fn server(&self, flaw: Flaw) -> Result<ServerConfig> {
        let names = match flaw {
            Flaw::OtherName => vec!["other.example".to_owned()],
            _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        };
        let mut params = CertificateParams::new(names)?;
        if flaw == Flaw::Expired {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        // In TLS 1.3 a client considers itself connected before it learns that it lacks a
        // certificate.
        let config = match flaw {
            Flaw::WantsCertificate => config.with_protocol_versions(&[&rustls::version::TLS12])?,
            _ => config.with_safe_default_protocol_versions()?,
        };
        let config = if flaw == Flaw::WantsCertificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone())?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl TlsUpstream {
    /// Starts an upstream with a certificate of this authority.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start(authority: &Authority, flaw: Flaw) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(flaw)?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(acceptor.clone(), stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            task: task.abort_handle(),
        })
    }

    /// Returns the base URL, such as `https://127.0.0.1:9000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream) {
    // Some tests provoke failed handshakes.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(respond))
        .await;
}

async fn respond(request: Request<Incoming>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    if path == "/reset" {
        return Err(anyhow!("no answer"));
    }
    // Reads the request's body, if any.
    let _ = request.into_body().collect().await;
    Ok(Response::new(match path.as_str() {
        "/reset-in-body" => {
            let part = futures::stream::iter([Ok(Frame::data(Bytes::from("part")))]);
            let end = futures::stream::once(async {
                // A reset overtakes unsent data.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(anyhow!("no more"))
            });
            StreamBody::new(part.chain(end)).boxed_unsync()
        }
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", HeaderValue::from_static("reached"));
            frames(vec![
                Ok(Frame::data("fine\n".into())),
                Ok(Frame::trailers(trailers)),
            ])
        }
        _ => Full::from("fine\n")
            .map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    }))
}

fn frames(frames: Vec<Result<Frame<Bytes>>>) -> Body {
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}
