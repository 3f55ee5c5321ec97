use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{Guest, GuestTraceparent};

const GOOD: &str = r#"
        [[service]]
        name = "a"
        route = "/a/..."
        component = "a.wasm"
        timeout = "5s"
        memory = "64MiB"
        environment = { K = "V" }
        directories = { "/data" = "data" }

        [[service]]
        name = "b"
        route = "/b"
        module = "b.wasm"
    "#;

#[test]
fn a_file_names_services_with_their_grants() {
    let file = File::parse(GOOD).unwrap();
    let [a, b] = &file.service[..] else {
        panic!("two services")
    };
    assert_eq!(a.guest(), Guest::Component(Path::new("a.wasm")));
    assert_eq!(a.timeout, Some(Duration::from_secs(5)));
    assert_eq!(a.memory, Some(64 << 20));
    assert_eq!(a.environment["K"], "V");
    assert_eq!(a.directories["/data"], Path::new("data"));
    assert!(a.allow_outgoing.is_empty());
    assert_eq!(b.guest(), Guest::Module(Path::new("b.wasm")));
    assert_eq!(b.memory, None);
}

#[test]
fn a_size_of_memory_needs_no_unit_and_a_wrong_one_is_named_with_its_line() {
    let plain = File::parse(&GOOD.replace("\"64MiB\"", "64")).unwrap();
    assert_eq!(plain.service[0].memory, Some(64 << 20));
    for wrong in ["0", "-1", "4097", "1.5", "true", "\"64MB\"", "\"\""] {
        let text = GOOD.replace("\"64MiB\"", wrong);
        let error = File::parse(&text).unwrap_err().to_string();
        assert!(error.contains("line 7"), "{error}");
        assert!(error.contains("memory ="), "{error}");
    }
}

#[test]
fn trace_headers_are_set_by_service() {
    let text = GOOD.replace(
        "timeout = \"5s\"",
        "guest_traceparent = \"link\"\nforward_request_id = true",
    );
    let file = File::parse(&text).unwrap();
    assert_eq!(
        file.service[0].guest_traceparent,
        Some(GuestTraceparent::Link)
    );
    assert_eq!(file.service[0].forward_request_id, Some(true));
    assert_eq!(file.service[1].guest_traceparent, None);
    let error = File::parse(&text.replace("link", "drop")).unwrap_err();
    assert!(error.to_string().contains("`keep`"), "{error}");
}

#[test]
fn tls_and_a_proxy_are_set_by_service() {
    let text = GOOD.replace(
        "timeout = \"5s\"",
        r#"ca = ["ca.pem"]
            client_certificates = [{ host = "*.a.example", certificate = "c.pem", key = "k.pem" }]
            danger_no_verify = ["localhost"]
            proxy = "env"
            no_proxy = ["b.example", "10.0.0.0/8"]"#,
    );
    let file = File::parse(&text).unwrap();
    let [a, b] = &file.service[..] else {
        panic!("two services")
    };
    assert_eq!(a.ca.as_deref(), Some(&["ca.pem".into()][..]));
    assert_eq!(a.client_certificates[0].host, "*.a.example");
    assert_eq!(a.danger_no_verify, ["localhost"]);
    assert_eq!(a.proxy.as_deref(), Some("env"));
    assert_eq!(a.no_proxy.as_ref().unwrap().len(), 2);
    assert_eq!((&b.ca, &b.proxy, &b.no_proxy), (&None, &None, &None));
    assert!(b.client_certificates.is_empty() && b.danger_no_verify.is_empty());
    let error = File::parse(&text.replace("key = \"k.pem\"", "")).unwrap_err();
    assert!(error.to_string().contains("`key`"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = GOOD.replace("timeout", "time_out");
    let error = File::parse(&text).unwrap_err().to_string();
    assert!(error.contains("line 6"), "{error}");
    assert!(error.contains("time_out"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let error = |text: &str| File::parse(text).unwrap_err().to_string();
    assert!(error("service = []").contains("no service"));
    assert!(error(&GOOD.replace("name = \"b\"", "name = \"a\"")).contains("`a`"));
    assert!(error(&GOOD.replace("component = \"a.wasm\"", "")).contains("`a` needs either"));
    assert!(error(&GOOD.replace("5s", "5 parsecs")).contains("5 parsecs"));
    assert!(error("[[module]]\nroute = \"/\"\nmodule = \"x.wasm\"").contains("modules.toml"));
}

#[test]
fn what_makes_no_sense_is_told_with_its_line_and_all_of_it_at_once() {
    let one = GOOD.replace("timeout = \"5s\"", "max_queue = 0");
    let error = File::parse(&one).unwrap_err();
    assert!(matches!(&error, ConfigError::At { error, .. }
        if matches!(**error, ConfigError::Zero(_, "max_queue"))));
    let error = error.to_string();
    assert!(error.starts_with("line 6, column 9\n"), "{error}");
    assert!(error.contains("6 |         max_queue = 0\n"), "{error}");
    assert!(error.contains("|         ^^^^^^^^^^^^^\n"), "{error}");

    let all = one
        .replace("name = \"b\"", "name = \"a\"")
        .replace(
            "component = \"a.wasm\"\n",
            "secrets = { K = { env = \"X\" } }\n",
        )
        .replace("\"/b\"", "{ path = \"/b\", strip_prefix = true }");
    let error = File::parse(&all).unwrap_err().to_string();
    for (line, said) in [
        ("line 2, column 9", "either `component"),
        ("line 5, column 21", "variable `K`"),
        ("line 6, column 9", "`max_queue` must be"),
        ("line 12, column 9", "two services named `a`"),
        ("line 13, column 9", "`strip_prefix`"),
    ] {
        assert!(
            error.contains(line) && error.contains(said),
            "{line}: {error}"
        );
    }
}

#[test]
fn where_a_service_says_something_can_be_asked_later() {
    let file = File::parse(GOOD).unwrap();
    assert_eq!(
        file.place_of(0, "directories./data").as_deref(),
        Some("line 9, column 25: \"/data\" = \"data\"")
    );
    assert_eq!(
        file.place_of(1, "route").as_deref(),
        Some("line 13, column 9: route = \"/b\"")
    );
    assert_eq!(file.place_of(1, "timeout"), None);
    let moved = File::parse(&format!("\n{GOOD}")).unwrap();
    assert_eq!(file, moved, "a file that says the same is the same");
}
