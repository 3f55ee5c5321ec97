//! The TLS settings of a service, over real sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::tls::{certified, https_by, roots};
use crate::testing::{SHORT, Upstream, everything, get, listen, send, whole};
use crate::transport::ConnectionInfo;
use crate::{
    ClientIdentity, ClientTls, Egress, EgressError, EgressParams, PoolParams, Timeouts, TlsRoots,
};

/// A service that trusts only what its settings name, and keeps no connection.
fn service(tls: ClientTls) -> EgressParams {
    EgressParams {
        grants: everything(),
        tls_roots: TlsRoots::given(RootCertStore::empty()),
        tls,
        pool: PoolParams {
            max_idle_per_host: 0,
            ..PoolParams::default()
        },
        ..EgressParams::new("test")
    }
}

fn uri(upstream: &Upstream) -> String {
    format!("https://localhost:{}/", upstream.address.port())
}

/// Writes a file with its own modification time, so that it differs from the one before, however
/// soon it is written.
fn write(folder: &TempDir, name: &str, content: &str, age: u64) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + age);
    file.set_modified(time).unwrap();
    path
}

fn authorities(path: &Path) -> ClientTls {
    ClientTls {
        authorities: vec![path.to_owned()],
        reload: Duration::ZERO,
        ..ClientTls::default()
    }
}

#[tokio::test]
async fn an_authority_of_one_s_own_is_trusted_besides_the_default_s() {
    let folder = TempDir::new().unwrap();
    let (config, certificate) = certified();
    let file = write(&folder, "ca.pem", &certificate.pem(), 0);
    let upstream = https_by(config, |_| {}).await;
    let (other_config, other) = certified();
    let by_default = https_by(other_config, |_| {}).await;

    let without = Egress::new(service(ClientTls::default()));
    let error = send(&without, get(&uri(&upstream))).await.unwrap_err();
    assert_eq!(error.kind(), "no_roots");

    let egress = Egress::new(EgressParams {
        tls_roots: roots(&other),
        ..service(authorities(&file))
    });
    for upstream in [&upstream, &by_default] {
        let answer = send(&egress, get(&uri(upstream))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "secret");
    }
}

#[tokio::test]
async fn files_that_change_are_used_at_the_next_connection_and_broken_ones_are_not() {
    let folder = TempDir::new().unwrap();
    let (config, certificate) = certified();
    let right = certificate.pem();
    let wrong = certified().1.pem();
    let upstream = https_by(config, |_| {}).await;
    let file = write(&folder, "ca.pem", &wrong, 0);
    let egress = Egress::new(service(authorities(&file)));

    let ask = async || {
        let answer = send(&egress, get(&uri(&upstream))).await;
        answer.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(ask().await, Err("tls_certificate"));
    write(&folder, "ca.pem", &right, 1);
    assert_eq!(ask().await, Ok(()));
    for (age, broken) in [(2, ""), (3, "-----BEGIN CERTIFICATE-----\nAAAA")] {
        write(&folder, "ca.pem", broken, age);
        assert_eq!(ask().await, Ok(()));
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(ask().await, Ok(()));
    write(&folder, "ca.pem", &wrong, 4);
    assert_eq!(ask().await, Err("tls_certificate"));
}

#[tokio::test]
async fn files_are_not_looked_at_for_each_connection() {
    let folder = TempDir::new().unwrap();
    let (config, certificate) = certified();
    let upstream = https_by(config, |_| {}).await;
    let file = write(&folder, "ca.pem", &certificate.pem(), 0);
    let egress = Egress::new(service(ClientTls {
        reload: Duration::from_secs(3_600),
        ..authorities(&file)
    }));
    send(&egress, get(&uri(&upstream))).await.unwrap();
    write(&folder, "ca.pem", &certified().1.pem(), 1);
    send(&egress, get(&uri(&upstream))).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_at_first_are_an_error_that_names_them() {
    let (config, _) = certified();
    let upstream = https_by(config, |_| {}).await;
    let egress = Egress::new(service(authorities(Path::new("/nowhere/ca.pem"))));
    let error = send(&egress, get(&uri(&upstream))).await.unwrap_err();
    assert!(matches!(error, EgressError::TlsSettings(_)), "{error:?}");
    let text = headwater_core::explain(&error);
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
}

/// An upstream that asks for a certificate, and reports whether it got one.
async fn asking() -> (Upstream, UnboundedReceiver<bool>, String, (String, String)) {
    let client = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    let mut clients = RootCertStore::empty();
    clients.add(client.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider.clone());
    let verifier = builder.allow_unauthenticated().build().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let (seen, sees) = mpsc::unbounded_channel();
    let upstream = https_by(config, move |connection| {
        seen.send(connection.peer_certificates().is_some()).unwrap();
    })
    .await;
    let identity = (client.cert.pem(), client.signing_key.serialize_pem());
    (upstream, sees, made.cert.pem(), identity)
}

#[tokio::test]
async fn a_certificate_is_shown_to_the_hosts_that_it_is_for() {
    let (upstream, mut sees, certificate, identity) = asking().await;
    let folder = TempDir::new().unwrap();
    let ca = write(&folder, "ca.pem", &certificate, 0);
    let identity = |hosts: &str| ClientIdentity {
        hosts: hosts.parse().unwrap(),
        certificate: write(&folder, "cert.pem", &identity.0, 0),
        key: write(&folder, "key.pem", &identity.1, 0),
    };
    for (hosts, shown) in [("localhost", true), ("*.localhost", false)] {
        let egress = Egress::new(service(ClientTls {
            identities: vec![identity(hosts)],
            ..authorities(&ca)
        }));
        send(&egress, get(&uri(&upstream))).await.unwrap();
        assert_eq!(sees.recv().await, Some(shown), "{hosts}");
    }
}

#[tokio::test]
async fn verification_is_left_out_only_for_the_hosts_that_are_named() {
    let (config, _) = certified();
    let upstream = https_by(config, |_| {}).await;
    let (_, vouches_for_nothing) = certified();
    let egress = Egress::new(EgressParams {
        tls_roots: roots(&vouches_for_nothing),
        ..service(ClientTls {
            unverified: vec!["localhost".parse().unwrap()],
            ..ClientTls::default()
        })
    });
    let answer = send(&egress, get(&uri(&upstream))).await.unwrap();
    let info = answer.extensions().get::<ConnectionInfo>().unwrap();
    assert!(info.unverified);
    let by_address = format!("https://{}/", upstream.address);
    let error = send(&egress, get(&by_address)).await.unwrap_err();
    assert_eq!(error.kind(), "tls_certificate");
}

#[tokio::test]
async fn a_session_is_resumed_by_its_service_and_by_no_other() {
    let (config, certificate) = certified();
    let (seen, mut sees) = mpsc::unbounded_channel();
    let upstream = https_by(config, move |connection| {
        seen.send(connection.handshake_kind().unwrap()).unwrap();
    })
    .await;
    let roots = roots(&certificate);
    let service = || {
        Egress::new(EgressParams {
            tls_roots: roots.clone(),
            ..service(ClientTls::default())
        })
    };
    let (first, second) = (service(), service());
    for (egress, expected) in [
        (&first, HandshakeKind::Full),
        (&first, HandshakeKind::Resumed),
        (&second, HandshakeKind::Full),
        (&first, HandshakeKind::Resumed),
    ] {
        let answer = send(egress, get(&uri(&upstream))).await.unwrap();
        whole(answer.into_body()).await.unwrap();
        assert_eq!(sees.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_has_a_timeout_of_its_own() {
    let held = listen(|stream: TcpStream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let (_, certificate) = certified();
    let egress = Egress::new(EgressParams {
        tls_roots: roots(&certificate),
        timeouts: Timeouts {
            connect: Duration::from_secs(3_600),
            tls_handshake: SHORT,
            ..Timeouts::default()
        },
        ..service(ClientTls::default())
    });
    let error = send(&egress, get(&uri(&held))).await.unwrap_err();
    assert!(
        matches!(error, EgressError::TlsHandshakeTimeout),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_upstream_that_leaves_within_the_handshake_is_a_connection_that_ended() {
    let (_, certificate) = certified();
    let egress = Egress::new(EgressParams {
        tls_roots: roots(&certificate),
        ..service(ClientTls::default())
    });
    let leaving = listen(|stream: TcpStream| async move { drop(stream) }).await;
    let error = send(&egress, get(&uri(&leaving))).await.unwrap_err();
    assert!(
        matches!(error, EgressError::ConnectionTerminated(_)),
        "{error:?}"
    );
}
