//! Several listeners, Unix-domain sockets, and the PROXY protocol.

use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::testing::{
    Running, address, answer_with, each, free_port, params, raw, route, start_with,
};
use crate::{
    BindError, Endpoint, Front, FrontParams, ListenerParams, ProxyProtocol, Router, ServeOutcome,
    Server, ServerParams,
};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn at(listeners: impl IntoIterator<Item = Endpoint>) -> ServerParams {
    ServerParams {
        listeners: listeners.into_iter().map(ListenerParams::at).collect(),
        ..params()
    }
}

async fn over_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn listeners_of_both_families_serve_side_by_side_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let unix = Endpoint::Unix(path.clone());
    let server = Server::bind(at([free_port().into(), unix, free_port().into()]))
        .await
        .unwrap();
    let told: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(told[0], format!("http://{}", address(&server)));
    assert_eq!(told[1], format!("http+unix:{}", path.display()));
    let tcp: Vec<SocketAddr> = server
        .addresses()
        .iter()
        .filter_map(crate::BoundAddress::socket_addr)
        .collect();
    let counts = server.connections();
    let front = Front::new(
        FrontParams::default(),
        Router::new([route("/...", answer_with("served"))]).unwrap(),
    );
    let shutdown = tokio_util::sync::CancellationToken::new();
    let outcome = tokio::spawn(server.serve(front, shutdown.clone()));
    for address in tcp {
        assert!(raw(address, REQUEST).await.ends_with("served"));
    }
    assert!(over_unix(&path).await.ends_with("served"));
    let accepted: Vec<_> = counts
        .by_listener()
        .map(|(_, counts)| counts.accepted)
        .collect();
    assert_eq!(accepted, [1, 1, 1]);
    shutdown.cancel();
    assert_eq!(outcome.await.unwrap(), ServeOutcome::Drained);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_s_file_is_replaced_only_if_nobody_listens_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    // Dropping the standard library's listener leaves its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.symlink_metadata().unwrap().file_type().is_socket());
    let first = Server::bind(at([Endpoint::Unix(path.clone())]))
        .await
        .unwrap();
    let refused = Server::bind(at([Endpoint::Unix(path.clone())]))
        .await
        .unwrap_err();
    assert!(matches!(refused, BindError::PathInUse { .. }), "{refused}");
    assert!(refused.to_string().contains("x.sock"), "{refused}");
    drop(first);
    assert!(!path.exists());

    std::fs::write(&path, "precious").unwrap();
    let refused = Server::bind(at([Endpoint::Unix(path.clone())]))
        .await
        .unwrap_err();
    assert!(matches!(refused, BindError::PathTaken { .. }), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let gone = folder.path().join("gone/x.sock");
    let refused = Server::bind(at([Endpoint::Unix(gone)])).await.unwrap_err();
    assert!(refused.to_string().contains("folder exists"), "{refused}");
}

#[tokio::test]
async fn nothing_to_listen_on_and_sockets_that_were_not_given_are_named() {
    let refused = Server::bind(at([])).await.unwrap_err();
    assert!(refused.to_string().contains("--listen"), "{refused}");
    let given = Endpoint::Inherited("web".to_owned());
    let refused = Server::bind(at([given])).await.unwrap_err().to_string();
    assert!(
        refused.contains("systemd:web") && refused.contains("LISTEN_FDS"),
        "{refused}"
    );
}

/// Answers with the client's address.
async fn behind_proxies(trusted: &[&str]) -> Running {
    let mut params = params();
    params.listeners[0].proxy_protocol = ProxyProtocol::Required {
        trusted: trusted
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
    };
    let client = each(|_, scope| async move {
        let client = scope.client().map(|client| client.to_string());
        Ok(Response::new(headwater_core::full(
            client.unwrap_or_default(),
        )))
    });
    start_with(params, [route("/...", client)]).await
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    header.extend(addresses);
    header.extend(REQUEST);
    header
}

#[tokio::test]
async fn a_proxy_s_header_names_the_client_in_both_versions() {
    let server = behind_proxies(&["127.0.0.0/8"]).await;
    let told = async |bytes: &[u8]| {
        let answer = raw(server.address, bytes).await;
        answer.rsplit("\r\n").next().unwrap().to_owned()
    };
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(told(v1).await, "192.0.2.1:5000");
    let v1 = b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 80\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(told(v1).await, "[2001:db8::1]:5000");
    let v1 = b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 5000 80\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(told(v1).await, "192.0.2.1:5000");
    let addresses = [192, 0, 2, 7, 192, 0, 2, 8, 0x13, 0x88, 0, 80];
    assert_eq!(told(&v2(1, 0x11, &addresses)).await, "192.0.2.7:5000");
    // With a field that is skipped.
    let mut more = addresses.to_vec();
    more.extend([0xe0, 0, 2, 1, 2]);
    assert_eq!(told(&v2(1, 0x11, &more)).await, "192.0.2.7:5000");
    // The proxy speaks for itself, or does not know.
    let own = told(&v2(0, 0, &[])).await;
    assert!(own.starts_with("127.0.0.1:"), "{own}");
    let own = told(b"PROXY UNKNOWN\r\nGET / HTTP/1.0\r\n\r\n").await;
    assert!(own.starts_with("127.0.0.1:"), "{own}");
}

#[tokio::test]
async fn c1_a_header_that_does_not_come_is_waited_for_as_long_as_a_handshake() {
    let mut params = params();
    params.connection.handshake_timeout = Duration::from_millis(50);
    params.listeners[0].proxy_protocol = ProxyProtocol::Required {
        trusted: Vec::new(),
    };
    let server = start_with(params, [route("/...", answer_with("served"))]).await;
    for part in [&b""[..], b"PROXY TCP4 192.0.2.1 "] {
        assert_eq!(raw(server.address, part).await, "");
    }
}

#[tokio::test]
async fn what_is_no_header_is_closed_and_nobody_else_may_send_one() {
    let server = behind_proxies(&[]).await;
    let huge = v2(1, 0x11, &[0; 9000]);
    for bytes in [
        REQUEST,
        b"PROXY TCP4 nobody 192.0.2.2 5000 80\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0\0\0",
        &huge,
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        stream.write_all(bytes).await.unwrap();
        // Closed, or reset with unread bytes.
        let read = stream.read(&mut [0; 1]).await;
        assert!(!read.is_ok_and(|read| read > 0));
    }
    let server = behind_proxies(&["192.0.2.0/24"]).await;
    let answer = raw(server.address, REQUEST).await;
    assert!(answer.contains("\r\n\r\n127.0.0.1:"), "{answer}");
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET / HTTP/1.0\r\n\r\n";
    let answer = raw(server.address, v1).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn connections_are_spread_over_the_runtimes_in_turn() {
    let lane = |name| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .unwrap()
    };
    let runtimes = [lane("one"), lane("two")];
    let mut params = params();
    params.runtimes = runtimes.iter().map(|lane| lane.handle().clone()).collect();
    let thread = each(|_, _| async {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        Ok(Response::new(headwater_core::full(name)))
    });
    let server = start_with(params, [route("/...", thread)]).await;
    for name in ["one", "two", "one"] {
        let answer = raw(server.address, REQUEST).await;
        assert!(answer.ends_with(name), "{answer}");
    }
    server.shutdown.cancel();
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
    // A runtime cannot be shut down inside another.
    runtimes
        .into_iter()
        .for_each(tokio::runtime::Runtime::shutdown_background);
}
