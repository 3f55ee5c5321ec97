//! Certificates: by name, of clients, and renewed ones while the server runs.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::Body;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::testing::{Running, each, get, params, route, start_with};
use crate::tls::Identity;
use crate::{CertificateParams, ClientAuth, TlsParams, UnknownNames};

/// The authority that signs all certificates of a test, and its folder.
struct Authority {
    folder: TempDir,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "the authority");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        Self {
            folder,
            root: root.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate for this name and its key.
    fn issue(&self, name: &str, file: &str) -> CertificateParams {
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate, at) = (
            self.file(&format!("{file}.pem")),
            self.file(&format!("{file}.key")),
        );
        fs::write(&certificate, made.pem()).unwrap();
        fs::write(&at, key.serialize_pem()).unwrap();
        CertificateParams {
            certificate,
            key: at,
            names: Vec::new(),
        }
    }

    fn client(&self) -> Shown {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in [
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::CommonName, "agent"),
        ] {
            params.distinguished_name.push(kind, value);
        }
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (made.der().clone(), der)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        shown: Option<Shown>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            Some((certificate, key)) => config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Returns the certificate for a client that asks for this name, if the client accepts it.
    async fn shown_for(&self, address: SocketAddr, name: &str) -> Option<Vec<u8>> {
        let stream = self.connect(address, name, None).await.ok()?;
        let chain = stream.get_ref().1.peer_certificates()?;
        Some(chain.first()?.to_vec())
    }
}

fn der(pair: &CertificateParams) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(&pair.certificate)
        .unwrap()
        .to_vec()
}

/// Answers with the fields about the client's certificate.
async fn serve(tls: TlsParams) -> Running {
    let told = each(|request: Request<Body>, _| async move {
        let field = |name| {
            let value = request.headers().get(name);
            value
                .map_or("none", |value| value.to_str().unwrap())
                .to_owned()
        };
        let text = format!(
            "{} {}",
            field("client-cert"),
            field("x-client-cert-subject")
        );
        Ok(Response::new(headwater_core::full(text)))
    });
    let mut params = params();
    params.listeners[0].tls = Some(tls);
    start_with(params, [route("/...", told)]).await
}

fn tls(certificates: Vec<CertificateParams>) -> TlsParams {
    TlsParams {
        certificates,
        ..TlsParams::new("", "")
    }
}

async fn ask(stream: TlsStream<TcpStream>, request: Request<Full<Bytes>>) -> Option<String> {
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let answer = client.send_request(request).await.ok()?;
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let first = authority.issue("one.example", "one");
    let wild = authority.issue("*.two.example", "two");
    let server = serve(tls(vec![first.clone(), wild.clone()])).await;
    let shown = async |name| authority.shown_for(server.address, name).await;
    assert_eq!(shown("one.example").await, Some(der(&first)));
    assert_eq!(shown("a.two.example").await, Some(der(&wild)));
    // Gets the first certificate, which the client rejects.
    assert_eq!(shown("three.example").await, None);
    assert_eq!(shown("a.b.two.example").await, None);

    // Given names precede those in the certificate.
    let mut given = authority.issue("one.example", "given");
    given.names = vec!["other.example".to_owned()];
    let mut params = tls(vec![given, first.clone()]);
    params.unknown_names = UnknownNames::Refuse;
    let server = serve(params).await;
    assert_eq!(
        authority.shown_for(server.address, "one.example").await,
        Some(der(&first))
    );
    let refused = authority
        .connect(server.address, "three.example", None)
        .await;
    // An alert, not a certificate for another name.
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("alert"), "{refused}");
}

#[tokio::test]
async fn a_verified_certificate_is_passed_on_and_a_required_one_is_asked_for() {
    let authority = Authority::new();
    let mut params = tls(vec![authority.issue("one.example", "one")]);
    let authorities = authority.file("ca.pem");
    params.client_auth = ClientAuth::Optional {
        authorities: authorities.clone(),
    };
    let server = serve(params.clone()).await;
    let connect = async |address, shown| {
        authority
            .connect(address, "one.example", shown)
            .await
            .unwrap()
    };

    let stream = connect(server.address, Some(authority.client())).await;
    let told = ask(stream, get("/")).await.unwrap();
    assert!(told.starts_with(':'), "{told}");
    assert!(told.ends_with(": CN=agent,O=Example\\, Inc."), "{told}");
    // Without a certificate, the client's own fields are ignored.
    let stream = connect(server.address, None).await;
    let mut forged = get("/");
    forged
        .headers_mut()
        .insert("client-cert", ":AAAA:".parse().unwrap());
    assert_eq!(ask(stream, forged).await.unwrap(), "none none");
    // Signed by another authority.
    let stream = authority
        .connect(
            server.address,
            "one.example",
            Some(Authority::new().client()),
        )
        .await;
    if let Ok(stream) = stream {
        assert_eq!(ask(stream, get("/")).await, None);
    }

    params.client_auth = ClientAuth::Required { authorities };
    let server = serve(params).await;
    let stream = connect(server.address, Some(authority.client())).await;
    assert!(ask(stream, get("/")).await.unwrap().contains("CN=agent"));
    // In TLS 1.3 the client finishes before the server has seen that there is no certificate.
    if let Ok(stream) = authority.connect(server.address, "one.example", None).await {
        assert_eq!(ask(stream, get("/")).await, None);
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_losing_connections_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let old = authority.issue("one.example", "one");
    let mut params = tls(vec![old.clone()]);
    params.watch = Some(Duration::from_millis(5));
    let server = serve(params).await;
    let before = der(&old);
    assert_eq!(
        authority.shown_for(server.address, "one.example").await,
        Some(before.clone())
    );
    let kept = authority
        .connect(server.address, "one.example", None)
        .await
        .unwrap();

    fs::write(&old.certificate, "no certificate").unwrap();
    assert_eq!(
        authority.shown_for(server.address, "one.example").await,
        Some(before.clone())
    );
    let new = authority.issue("one.example", "one");
    while authority.shown_for(server.address, "one.example").await == Some(before.clone()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        authority.shown_for(server.address, "one.example").await,
        Some(der(&new))
    );
    assert!(ask(kept, get("/")).await.is_some());
}

/// Promise: reading certificates again on request does not wait for the next check; if any listener's cannot
/// be used, none change; and what was read but not installed is found by the next check.
#[tokio::test]
async fn certificates_are_read_again_at_once_when_somebody_says_so() {
    let authority = Authority::new();
    let old = authority.issue("one.example", "one");
    let mut params = tls(vec![old.clone()]);
    params.watch = None;
    let server = serve(params).await;
    let shown = async || authority.shown_for(server.address, "one.example").await;
    let before = der(&old);
    fs::write(&old.certificate, "no certificate").unwrap();
    let refused = server.certificates.read().unwrap_err().to_string();
    assert!(refused.contains("one.pem"), "{refused}");
    assert_eq!(shown().await, Some(before.clone()));

    let new = authority.issue("one.example", "one");
    let read = server.certificates.read().unwrap();
    assert_eq!(shown().await, Some(before));
    read.install();
    assert_eq!(shown().await, Some(der(&new)));

    let identity = Identity::load(tls(vec![new])).unwrap();
    let next = authority.issue("one.example", "one");
    drop(identity.read().unwrap());
    assert!(identity.reload_if_changed().unwrap(), "{next:?}");
    assert!(!identity.reload_if_changed().unwrap());
}

#[test]
fn what_clients_are_checked_by_is_named_when_it_cannot_be_read() {
    let authority = Authority::new();
    let mut params = tls(vec![authority.issue("one.example", "one")]);
    params.client_auth = ClientAuth::Required {
        authorities: authority.file("gone.pem"),
    };
    let refused = params.check().unwrap_err().to_string();
    assert!(
        refused.contains("gone.pem") && refused.contains("authorities"),
        "{refused}"
    );
    let refused = tls(Vec::new()).check().unwrap_err().to_string();
    assert!(refused.contains("at least one"), "{refused}");
}
