use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_core::GuestTraceparent;

use super::*;
use crate::Guest;
use crate::settings::{AccessTo, CodeCachePlace, ConnectingSettings};

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
    let limits = &a.settings.limits;
    assert_eq!(limits.timeout, Some(Duration::from_secs(5).into()));
    assert_eq!(limits.memory.map(|memory| memory.bytes()), Some(64 << 20));
    assert_eq!(a.environment["K"], "V");
    assert_eq!(a.directories["/data"], Path::new("data"));
    assert!(a.allow_outgoing.is_empty());
    assert_eq!(b.guest(), Guest::Module(Path::new("b.wasm")));
    assert_eq!(b.settings, ServiceSettings::default());
}

#[test]
fn a_size_of_memory_needs_no_unit_and_a_wrong_one_is_named_with_its_line() {
    let plain = File::parse(&GOOD.replace("\"64MiB\"", "64")).unwrap();
    let memory = plain.service[0].settings.limits.memory;
    assert_eq!(memory.map(|memory| memory.bytes()), Some(64 << 20));
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
    let headers = |index: usize| &file.service[index].settings.trace_headers;
    assert_eq!(headers(0).guest_traceparent, Some(GuestTraceparent::Link));
    assert_eq!(headers(0).forward_request_id, Some(true));
    assert_eq!(headers(1).guest_traceparent, None);
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
    let connecting = &a.settings.connecting;
    assert_eq!(connecting.ca.as_deref(), Some(&["ca.pem".into()][..]));
    assert_eq!(a.client_certificates[0].host, "*.a.example");
    assert_eq!(a.danger_no_verify, ["localhost"]);
    assert_eq!(connecting.proxy.as_deref(), Some("env"));
    assert_eq!(connecting.no_proxy.as_ref().unwrap().len(), 2);
    assert_eq!(b.settings.connecting, ConnectingSettings::default());
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
    let both = "serial = true\n        max_concurrent_per_instance = 4";
    let one = GOOD.replace("timeout = \"5s\"", both);
    let error = File::parse(&one).unwrap_err();
    assert!(matches!(&error, ConfigError::At { error, .. }
        if matches!(**error, ConfigError::Serial(..))));
    let error = error.to_string();
    assert!(error.starts_with("line 7, column 9\n"), "{error}");
    let line = "7 |         max_concurrent_per_instance = 4\n";
    assert!(error.contains(line), "{error}");
    let marks = format!("|         {}\n", "^".repeat(31));
    assert!(error.contains(&marks), "{error}");

    let all = one
        .replace("name = \"b\"", "name = \"a\"")
        .replace(
            "component = \"a.wasm\"\n",
            "secrets = { K = { env = \"X\" } }\n",
        )
        .replace("\"/b\"", "{ path = \"/b\", strip_prefix = true }");
    let all = format!("{all}\n[defaults]\n{both}");
    let error = File::parse(&all).unwrap_err().to_string();
    for (line, said) in [
        ("line 2, column 9", "either `component"),
        ("line 5, column 21", "variable `K`"),
        ("line 7, column 9", "service `a`: `serial` is one request"),
        ("line 13, column 9", "two services named `a`"),
        ("line 14, column 9", "`strip_prefix`"),
        ("line 19, column 9", "`[defaults]`: `serial` is one request"),
    ] {
        assert!(
            error.contains(line) && error.contains(said),
            "{line}: {error}"
        );
    }
}

/// The lines that errors are told for.
fn lines(text: &str) -> (Option<File>, Vec<String>) {
    let (file, errors) = File::read(text, &[]);
    let told = errors.iter().map(|error| match error {
        ConfigError::At {
            location, error, ..
        } => format!("{}: {error}", location.line),
        other => other.to_string(),
    });
    (file, told.collect())
}

#[test]
fn all_mistakes_of_all_kinds_are_told_at_once_in_their_order() {
    let text = r#"[servr]
[[service]]
name = "a"
route = "/a"
component = "a.wasm"
timeout = "5 parsecs"
time_out = 5
outgoing = { max_requests = 0, connect_timeout = "1" }
allow-outgoing = []
[[service]]
name = "b"
component = "b.wasm"
max_queue = 0
[[service]]
name = "c"
route = "/c"
module = 7
[[service]]
name = "c"
route = { path = "/c" }
component = "c.wasm"
argv = "x"
[[listener]]
listen = "127.0.0.1:99999"
[[listener]]
listen = "127.0.0.1:0"
proxy_protocol = "maybe"
proxy_protocol_from = ["10.0.0.0/8"]
[[listener.tls.certificates]]
certificate = 5
key = "k"
[telemetry]
trace_tree = "sometimes"
"#;
    let (file, told) = lines(text);
    for (at, (line, said)) in [
        ("1: ", "did you mean `server`?"),
        ("6: ", "5 parsecs"),
        ("7: ", "did you mean `timeout`?"),
        ("8: ", "1 or more"),
        ("8: ", "is no duration"),
        ("9: ", "did you mean `allow_outgoing`?"),
        ("10: ", "missing field `route`"),
        ("13: ", "1 or more"),
        ("17: ", "a path in quotation marks"),
        ("19: ", "two services named `c`"),
        ("22: ", "`argv` is for modules"),
        ("24: ", "99999"),
        ("27: ", "`required`"),
        ("30: ", "a path in quotation marks"),
        ("33: ", "`auto`"),
    ]
    .into_iter()
    .enumerate()
    {
        let told = &told[at];
        assert!(
            told.starts_with(line) && told.contains(said),
            "{at}: {told}"
        );
    }
    assert_eq!(told.len(), 15, "{told:#?}");
    // What is left is what can be served of it, and its places are right.
    let file = file.unwrap();
    let names: Vec<_> = file.service.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["a", "c"]);
    let place = file.source().place("service", 1, "argv").unwrap();
    assert_eq!(place.line, 22);
    assert_eq!(file.listener.len(), 1);
}

#[test]
fn what_is_no_toml_is_told_once_for_each_line() {
    let text =
        "[[service]]\nname = \"a\nroute = \"/\"\ncomponent = a.wasm\ntimeout \"5s\"\nmemory = 5\n";
    let (file, told) = lines(text);
    assert!(file.is_none());
    let lines: Vec<_> = told.iter().map(|told| &told[..3]).collect();
    assert_eq!(lines, ["2: ", "4: ", "5: "], "{told:#?}");
}

#[test]
fn mistakes_without_end_are_told_to_an_end() {
    let text: String = (0..1000).map(|number| format!("k{number} = 1\n")).collect();
    let (file, told) = lines(&text);
    assert!(file.is_none());
    assert_eq!(told.len(), 100);
}

#[test]
fn where_a_service_says_something_can_be_asked_later() {
    let file = File::parse(GOOD).unwrap();
    let place = |list, index, key| {
        let place = file.source().place(list, index, key);
        place.map(|place| place.to_string())
    };
    assert_eq!(
        place("service", 0, "directories./data").unwrap(),
        "line 9, column 25: \"/data\" = \"data\""
    );
    assert_eq!(
        place("service", 1, "route").unwrap(),
        "line 13, column 9: route = \"/b\""
    );
    assert_eq!(place("service", 1, "timeout"), None);
    let moved = File::parse(&format!("\n{GOOD}")).unwrap();
    assert_eq!(file, moved, "a file that says the same is the same");
}

#[test]
fn what_holds_for_all_services_is_in_a_section_with_the_keys_of_a_service() {
    let text = format!(
        "{GOOD}\n[defaults]\ntimeout = \"9s\"\nproxy = \"env\"\n[defaults.outgoing]\n\
         max_requests = 7\n[telemetry]\nlog = \"warn\"\ntrace_file = \"t.jsonl\"\n"
    );
    let file = File::parse(&text).unwrap();
    let [a, b] = &file.service[..] else {
        panic!("two services")
    };
    let settings = |service: &Service| service.settings.clone().or_defaults(file.defaults.clone());
    let (a, b) = (settings(a), settings(b));
    let seconds = |time| Some(Duration::from_secs(time).into());
    assert_eq!(
        (a.limits.timeout, b.limits.timeout),
        (seconds(5), seconds(9))
    );
    for both in [&a, &b] {
        assert_eq!(both.outgoing.max_requests.map(|count| count.get()), Some(7));
        assert_eq!(both.connecting.proxy.as_deref(), Some("env"));
    }
    assert_eq!(file.telemetry.log.as_deref(), Some("warn"));
    let place = |key| {
        let place = file.source().place_in_section("defaults", key);
        place.unwrap().to_string()
    };
    assert_eq!(place("proxy"), "line 18, column 1: proxy = …");
    assert_eq!(
        place("outgoing.max_requests"),
        "line 20, column 1: max_requests = 7"
    );
}

#[test]
fn all_paths_are_from_the_folder_of_the_file() {
    let text = format!(
        "{GOOD}\n\
         ca = [\"ca.pem\"]\nsecrets = {{ S = {{ file = \"s\" }} }}\n\
         client_certificates = [{{ host = \"a\", certificate = \"c.pem\", key = \"k.pem\" }}]\n\
         [defaults]\nca = [\"/abs.pem\", \"d.pem\"]\n\
         [telemetry]\ntrace_file = \"t\"\naudit_log = \"a\"\n[access_log]\nto = \"l\"\n\
         [server]\ncode_cache = \"code\"\n\
         [[files]]\nroute = \"/f/...\"\ndirectory = \"public\"\n\
         [[listener]]\nlisten = \"unix:sock\"\n[listener.tls]\nclient_ca = \"ca\"\n\
         certificates = [{{ certificate = \"lc\", key = \"lk\" }}]\n"
    );
    let file = File::parse(&text).unwrap().within(Path::new("/etc/h"));
    let [a, b] = &file.service[..] else {
        panic!("two services")
    };
    let at = |name: &str| Path::new("/etc/h").join(name);
    assert_eq!(a.guest(), Guest::Component(&at("a.wasm")));
    assert_eq!(b.guest(), Guest::Module(&at("b.wasm")));
    assert_eq!(a.directories["/data"], at("data"));
    assert_eq!(b.settings.connecting.ca, Some(vec![at("ca.pem")]));
    assert_eq!(b.secrets["S"].file(), Some(&*at("s")));
    assert_eq!(b.client_certificates[0].key, at("k.pem"));
    assert_eq!(b.client_certificates[0].certificate, at("c.pem"));
    let ca = file.defaults.connecting.ca.unwrap();
    assert_eq!(ca, [PathBuf::from("/abs.pem"), at("d.pem")]);
    let telemetry = file.telemetry;
    assert_eq!(
        (telemetry.trace_file, telemetry.audit_log),
        (Some(at("t")), Some(at("a")))
    );
    assert_eq!(file.access_log.unwrap().to, Some(AccessTo::File(at("l"))));
    let code_cache = CodeCachePlace::Directory(at("code"));
    assert_eq!(file.server.code_cache, Some(code_cache));
    assert_eq!(file.files[0].directory, at("public"));
    let listen = &file.listener[0].listen;
    assert_eq!(*listen, crate::ListenAddress::Unix(at("sock")));
    let tls = file.listener[0].tls.as_ref().unwrap();
    assert_eq!(tls.clients.client_ca, Some(at("ca")));
    assert_eq!(tls.certificates[0].certificate, at("lc"));
    assert_eq!(tls.certificates[0].key, at("lk"));
}
