use std::sync::Arc;

use headwater_core::Attribution;
use http::{Response, Version};
use rcgen::Certificate;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::testing::{Upstream, everything, get, listen, send, serve_on, whole};
use crate::{Egress, EgressError, EgressParams, SendOptions, TlsRoots};

/// A server's TLS configuration with a self-signed certificate for `localhost`.
pub(super) fn certified() -> (ServerConfig, Certificate) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, made.cert)
}

/// An upstream that answers `secret`, and reports each connection after its handshake.
pub(super) async fn https_by(
    config: ServerConfig,
    show: impl Fn(&ServerConnection) + Clone + Send + 'static,
) -> Upstream {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream: TcpStream| {
        let (acceptor, show) = (acceptor.clone(), show.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                show(stream.get_ref().1);
                let respond = |_| async { Response::new(headwater_core::full("secret")) };
                serve_on(stream, respond).await;
            }
        }
    })
    .await
}

/// An upstream with a certificate for `localhost`, and roots that vouch for it.
pub(super) async fn https(protocols: &[&[u8]]) -> (Upstream, TlsRoots) {
    let (mut config, certificate) = certified();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let upstream = https_by(config, |_| {}).await;
    (upstream, roots(&certificate))
}

pub(super) fn roots(certificate: &Certificate) -> TlsRoots {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    TlsRoots::given(roots)
}

fn egress_with(roots: TlsRoots) -> Egress {
    Egress::new(EgressParams {
        grants: everything(),
        tls_roots: roots,
        ..EgressParams::new("test")
    })
}

#[tokio::test]
async fn the_protocol_is_agreed_on_and_the_connection_kept() {
    for (protocols, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], Version::HTTP_2),
        (&[b"http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let (upstream, roots) = https(protocols).await;
        let egress = egress_with(roots);
        let uri = format!("https://localhost:{}/", upstream.address.port());
        for _ in 0..3 {
            let answer = send(&egress, get(&uri)).await.unwrap();
            assert_eq!(answer.version(), version);
            assert_eq!(whole(answer.into_body()).await.unwrap(), "secret");
        }
        assert_eq!(upstream.accepted(), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (upstream, _) = https(&[]).await;
    let (_, others) = https(&[]).await;
    let uri = format!("https://localhost:{}/", upstream.address.port());
    let error = send(&egress_with(others), get(&uri)).await.unwrap_err();
    assert!(matches!(error, EgressError::TlsCertificate(_)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (upstream, roots) = https(&[]).await;
    let uri = format!("https://{}/", upstream.address);
    let error = send(&egress_with(roots), get(&uri)).await.unwrap_err();
    assert!(matches!(error, EgressError::TlsCertificate(_)), "{error:?}");
}

#[tokio::test]
async fn an_upstream_without_tls_is_no_tls_upstream() {
    let upstream =
        crate::testing::serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let (_, roots) = https(&[]).await;
    let error = egress_with(roots)
        .send(
            get(&format!("https://{}/", upstream.address)),
            SendOptions::default(),
            Attribution::unknown(),
        )
        .await
        .unwrap_err();
    let named = matches!(
        error,
        EgressError::TlsProtocol(_) | EgressError::ConnectionTerminated(_)
    );
    assert!(named, "{error:?}");
}
