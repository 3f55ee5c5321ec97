use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::testing::{LONG, Running, each, get, params, route, start_with};
use crate::{ServeOutcome, TlsParams};

struct Identity {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

/// Files with a certificate for `localhost` and its key.
fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(
        folder.path().join("key.pem"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    Identity {
        certificate: made.cert.der().clone(),
        folder,
    }
}

impl Identity {
    fn params(&self) -> TlsParams {
        let file = |name| self.folder.path().join(name);
        TlsParams::from_pem_files(&file("cert.pem"), &file("key.pem")).unwrap()
    }

    async fn connect(&self, address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }
}

async fn serve(tls: TlsParams) -> Running {
    serve_within(LONG, tls).await
}

/// As [`serve`], with a handshake timeout.
async fn serve_within(handshake: Duration, tls: TlsParams) -> Running {
    let uri = each(|request, _| async move {
        Ok(Response::new(headwater_core::full(
            request.uri().to_string(),
        )))
    });
    let mut params = params();
    params.listeners[0].tls = Some(tls);
    params.connection.handshake_timeout = handshake;
    start_with(params, [route("/...", uri)]).await
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn the_protocol_is_agreed_on_and_the_scheme_is_https() {
    let identity = identity();
    let server = serve(identity.params()).await;

    let stream = identity.connect(server.address, b"http/1.1").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = client.send_request(get("/a")).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
    assert_eq!(text(answer).await, "https://x.example/a");

    let stream = identity.connect(server.address, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://x.example:8443/b").body(Full::<Bytes>::default());
    let answer = client.send_request(request.unwrap()).await.unwrap();
    assert_eq!(text(answer).await, "https://x.example:8443/b");
}

#[tokio::test]
async fn a_client_that_stalls_its_handshake_holds_up_nobody_and_is_dropped() {
    let identity = identity();
    let server = serve_within(Duration::from_millis(500), identity.params()).await;
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    let stream = identity.connect(server.address, b"http/1.1").await;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(
        text(client.send_request(get("/")).await.unwrap()).await,
        "https://x.example/"
    );
    // The server closes it without a byte.
    assert_eq!(stalled.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_handshake_in_progress_does_not_hold_up_the_end() {
    let identity = identity();
    let server = serve_within(LONG, identity.params()).await;
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    // The connection before was accepted by the time that the next one is answered.
    drop(identity.connect(server.address, b"http/1.1").await);
    server.shutdown.cancel();
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
    assert_eq!(stalled.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_refused() {
    let identity = identity();
    let server = serve(identity.params()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
        .send_request(get("/"))
        .await
        .expect_err("no answer without TLS");
}

fn refusal(certificate: &Path, key: &Path) -> String {
    let refused = TlsParams::from_pem_files(certificate, key);
    refused.unwrap_err().to_string()
}

#[test]
fn files_that_are_none_are_named_with_what_was_expected() {
    let identity = identity();
    let other = self::identity();
    let file = |name| identity.folder.path().join(name);
    let told = refusal(&file("gone.pem"), &file("key.pem"));
    assert!(
        told.contains("gone.pem") && told.contains("certificate"),
        "{told}"
    );
    let told = refusal(&file("key.pem"), &file("key.pem"));
    assert!(told.contains("key.pem") && told.contains("none"), "{told}");
    let told = refusal(&file("cert.pem"), &file("cert.pem"));
    assert!(told.contains("private key"), "{told}");
    let told = refusal(&file("cert.pem"), &other.folder.path().join("key.pem"));
    assert!(told.contains("cannot be used together"), "{told}");
}
