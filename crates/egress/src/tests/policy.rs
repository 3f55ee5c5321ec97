//! Both layers of the policy, with a resolver and a dialler that the tests control: no packet leaves.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use headwater_core::Attribution;
use headwater_telemetry::{FileConfig, LogConfig, TelemetryConfig};
use serde_json::Value;

use crate::dial::Dialler;
use crate::resolve::Resolver;
use crate::testing::{attributed, get, scope, send};
use crate::{Egress, EgressError, EgressParams, Grants, Network, SendOptions};

/// A service whose names resolve by `script`, and the addresses that it would have dialled.
fn scripted(
    grants: &[&str],
    script: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static,
) -> (Egress, Arc<Mutex<Vec<SocketAddr>>>) {
    let dialled = Arc::new(Mutex::default());
    let egress = Egress::new(EgressParams {
        grants: Grants::parse(grants).unwrap(),
        network: Network {
            resolver: Resolver::Scripted(Arc::new(script)),
            dialler: Dialler::Refusing(Arc::clone(&dialled)),
        },
        ..EgressParams::new("test")
    });
    (egress, dialled)
}

/// The names of the table, as a hostile name server resolves them.
fn hostile(name: &str) -> Vec<IpAddr> {
    let addresses: &[&str] = match name {
        "localhost" => &["127.0.0.1", "::1"],
        "metadata.google.internal" => &["169.254.169.254"],
        "loopback.example" => &["127.0.0.1"],
        "mapped.example" => &["::ffff:127.0.0.1"],
        "private.example" => &["10.0.0.1", "172.16.0.1", "192.168.0.1", "fd00::1"],
        "nat64.example" => &["64:ff9b::a9fe:a9fe"],
        "unspecified.example" => &["0.0.0.0", "::"],
        "public.example" | "public.example.evil.example" => &["93.184.215.14"],
        _ => &[],
    };
    let addresses = addresses.iter();
    addresses.map(|address| address.parse().unwrap()).collect()
}

/// G11 of `docs/explanation/hardening.md`: each destination, and its error for a service that may call `*`.
const LIST: [(&str, &str); 48] = [
    ("127.0.0.1", "address_denied"),
    ("127.0.0.1.", "address_denied"),
    ("127.255.255.254", "address_denied"),
    ("localhost", "address_denied"),
    ("LOCALHOST.", "address_denied"),
    ("loopback.example", "address_denied"),
    ("mapped.example", "address_denied"),
    ("private.example", "address_denied"),
    ("nat64.example", "address_denied"),
    ("unspecified.example", "address_denied"),
    ("metadata.google.internal", "address_denied"),
    ("0.0.0.0", "address_denied"),
    ("[::]", "address_denied"),
    ("[::1]", "address_denied"),
    ("[0:0:0:0:0:0:0:1]", "address_denied"),
    ("[::ffff:127.0.0.1]", "address_denied"),
    ("[::ffff:7f00:1]", "address_denied"),
    ("[::127.0.0.1]", "address_denied"),
    ("[::ffff:0:127.0.0.1]", "address_denied"),
    ("169.254.169.254", "address_denied"),
    ("169.254.170.2", "address_denied"),
    ("[::ffff:169.254.169.254]", "address_denied"),
    ("[fd00:ec2::254]", "address_denied"),
    ("[fd20:ce::254]", "address_denied"),
    ("100.100.100.200", "address_denied"),
    ("168.63.129.16", "address_denied"),
    ("192.0.0.192", "address_denied"),
    ("100.64.0.1", "address_denied"),
    ("10.0.0.1", "address_denied"),
    ("172.31.255.255", "address_denied"),
    ("192.168.1.1", "address_denied"),
    ("198.18.0.1", "address_denied"),
    ("224.0.0.1", "address_denied"),
    ("255.255.255.255", "address_denied"),
    ("[64:ff9b::127.0.0.1]", "address_denied"),
    ("[64:ff9b:1::1]", "address_denied"),
    ("[2002:7f00:1::]", "address_denied"),
    ("[2001:0:7f00:1::]", "address_denied"),
    ("[fe80::1]", "address_denied"),
    ("[fec0::1]", "address_denied"),
    ("[ff02::1]", "address_denied"),
    // Spellings that some resolvers take for an address.
    ("2130706433", "invalid_uri"),
    ("0x7f000001", "invalid_uri"),
    ("0x7f.0.0.1", "invalid_uri"),
    ("0177.0.0.1", "invalid_uri"),
    ("017700000001", "invalid_uri"),
    ("127.1", "invalid_uri"),
    ("127.0.1", "invalid_uri"),
];

#[tokio::test]
async fn g11_no_special_address_is_dialled_in_any_spelling() {
    let (egress, dialled) = scripted(&["*"], hostile);
    for (host, expected) in LIST {
        for uri in [format!("http://{host}/"), format!("https://{host}:8443/x")] {
            let error = send(&egress, get(&uri)).await.unwrap_err();
            assert_eq!(error.kind(), expected, "{uri}: {error}");
        }
    }
    assert_eq!(*dialled.lock().unwrap(), []);

    let error = send(&egress, get("https://public.example/")).await;
    assert_eq!(error.unwrap_err().kind(), "connection_refused");
    let public = "93.184.215.14:443".parse().unwrap();
    assert_eq!(*dialled.lock().unwrap(), [public]);
}

#[tokio::test]
async fn g11_a_name_that_only_looks_like_a_granted_one_is_not_even_looked_up() {
    let (egress, dialled) = scripted(&["public.example", "*.public.example"], |name| {
        panic!("{name} was looked up")
    });
    for host in [
        "public.example.evil.example",
        "evilpublic.example",
        "evil-public.example",
        "public.exampl",
        "public-example",
        "public.example.com",
    ] {
        let uri = format!("http://{host}/");
        let error = send(&egress, get(&uri)).await.unwrap_err();
        assert_eq!(error.kind(), "denied", "{uri}");
    }
    let error = send(&egress, get("http://public.example@evil.example/")).await;
    assert_eq!(error.unwrap_err().kind(), "invalid_uri");
    assert_eq!(*dialled.lock().unwrap(), []);
}

#[tokio::test]
async fn g11_what_was_vetted_is_what_is_dialled_however_often_the_name_changes() {
    let look_ups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&look_ups);
    // A name server that rebinds: every second answer is this machine.
    let (egress, dialled) = scripted(&["rebinds.example"], move |_| {
        let address = match counted.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => "93.184.215.14",
            _ => "127.0.0.1",
        };
        vec![address.parse().unwrap()]
    });
    let public: SocketAddr = "93.184.215.14:80".parse().unwrap();
    for round in 1..=4 {
        let error = send(&egress, get("http://rebinds.example/")).await;
        let expected = match round % 2 {
            1 => "connection_refused",
            _ => "address_denied",
        };
        assert_eq!(error.unwrap_err().kind(), expected);
        // One look-up each: nothing is resolved again between the check and the dialling.
        assert_eq!(look_ups.load(Ordering::SeqCst), round);
        let dialled = dialled.lock().unwrap();
        assert!(dialled.iter().all(|address| *address == public));
        assert_eq!(dialled.len(), round.div_ceil(2));
    }
}

#[tokio::test]
async fn of_a_name_s_addresses_only_the_permitted_are_dialled() {
    let found = ["127.0.0.1", "93.184.215.14", "::1", "10.0.0.1"];
    let (egress, dialled) = scripted(&["*", "10.0.0.0/8:81"], move |_| {
        found
            .iter()
            .map(|address| address.parse().unwrap())
            .collect()
    });
    let _ = send(&egress, get("http://mixed.example:81/")).await;
    let expected = ["93.184.215.14:81", "10.0.0.1:81"].map(|address| address.parse().unwrap());
    assert_eq!(*dialled.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_name_without_an_address_does_not_exist() {
    let (egress, _) = scripted(&["*"], hostile);
    let error = send(&egress, get("http://nobody.example/")).await;
    let EgressError::Dns { rcode, .. } = error.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(rcode, Some("NXDOMAIN"));
}

/// Returns the audit log's lines about `work`, from a file, in order.
async fn audited(work: impl Future<Output = ()>) -> Vec<Value> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (dispatch, telemetry) = headwater_telemetry::build(TelemetryConfig {
        log: LogConfig {
            filter: "off".to_owned(),
            ..LogConfig::default()
        },
        audit_file: Some(FileConfig::at(&path)),
        ..TelemetryConfig::default()
    })
    .unwrap();
    // While a process has one subscriber, tracing caches for all threads whether the thread that first
    // reaches an event wants it; other tests have none.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    // The tests' runtimes have one thread.
    let guard = tracing::dispatcher::set_default(&dispatch);
    work.await;
    drop(guard);
    telemetry.shutdown();
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_denial_leaves_a_line_in_the_audit_log() {
    let scope = scope();
    let lines = audited(async {
        let (egress, _) = scripted(&["localhost"], hostile);
        let request = get("http://elsewhere.example:81/secret?x=1");
        let denied = egress.send(request, SendOptions::default(), attributed(&scope));
        denied.await.unwrap_err();
        let unknown = Attribution::unknown();
        let denied = egress.send(get("https://localhost/"), SendOptions::default(), unknown);
        denied.await.unwrap_err();
        // Other errors are not logged.
        let invalid = egress.send(
            get("http://127.1/"),
            SendOptions::default(),
            attributed(&scope),
        );
        invalid.await.unwrap_err();
    })
    .await;
    let [by_name, by_address] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(by_name["event"], "denied");
    assert_eq!(by_name["request_id"], scope.id().to_string());
    assert_eq!(by_name["attribution"], "exact");
    assert_eq!(by_name["service"], "test");
    assert_eq!(by_name["destination"], "http://elsewhere.example:81");
    assert_eq!(by_name["rule"], "no grant covers it");
    assert_eq!(by_name["address"], Value::Null);

    assert_eq!(by_address["request_id"], Value::Null);
    assert_eq!(by_address["attribution"], "unknown");
    assert_eq!(by_address["destination"], "https://localhost:443");
    assert_eq!(by_address["address"], "127.0.0.1");
    assert_eq!(by_address["rule"], "loopback (127.0.0.0/8)");
    // Paths may be secret.
    assert!(!by_name.to_string().contains("secret"));
}

#[tokio::test]
async fn the_audit_log_has_scheme_host_and_port_of_services_of_the_same_host_too() {
    let lines = audited(async {
        let (egress, _) = scripted(&["*.internal"], hostile);
        let missing = send(&egress, get("http://shop.internal/"));
        missing.await.unwrap_err();
        let unspoken = send(&egress, get("https://shop.internal/"));
        unspoken.await.unwrap_err();
    })
    .await;
    let destinations: Vec<_> = lines.iter().map(|line| &line["destination"]).collect();
    let expected = ["http://shop.internal:80", "https://shop.internal:443"];
    assert_eq!(destinations, expected);
}

#[tokio::test]
async fn a_guest_cannot_flood_the_audit_log() {
    let lines = audited(async {
        let (egress, _) = scripted(&[], hostile);
        for _ in 0..1_000 {
            send(&egress, get("http://a.example/")).await.unwrap_err();
        }
        // Logs the number of lines left out since the last one.
        drop(egress);
    })
    .await;
    let denied = lines.iter().filter(|line| line["event"] == "denied");
    let denied = u64::try_from(denied.count()).unwrap();
    let left_out: u64 = lines
        .iter()
        .filter_map(|line| line["left_out"].as_u64())
        .sum();
    assert_eq!(denied + left_out, 1_000);
    assert!((10..1_000).contains(&denied), "{denied}");
}
