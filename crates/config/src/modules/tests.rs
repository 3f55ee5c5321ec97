use std::path::Path;
use std::time::Duration;

use headwater_core::{Compat, ResponseMode};

use super::*;
use crate::{Count, Memory, Time};

/// Every key there is.
const FULL: &str = r#"
[[module]]
route = "/first/..."
module = "first.wasm"
entrypoint = "run"
bindle_server = "http://bindle/v1"
volumes = { "/zzz" = "z", "/a" = { path = "a", read_only = true } }
allowed_hosts = ["https://api.example.com"]
http_max_concurrency = 3
argv = "x ${ARGS}"
name = "shop"
environment = { A = "1" }
host = ["a.example", "*.b.example:8080"]
pass_authorization = true
timeout = "5s"
memory = "64MiB"
max_response = "1MiB"
max_instances = 7
max_cpu_time = "100ms"
max_open_files_per_instance = 8
max_open_files = 80
max_wall_time = "1m"
max_output = "2GiB"
compat = "0.2"
response = "stream"

[[module]]
route = "/"
module = "oci:example/second:1"
host = "c.example"
environment.TEST_NAME = "dotted"
"#;

fn parse(text: &str) -> ModulesFile {
    ModulesFile::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refusal(text: &str) -> String {
    ModulesFile::parse(text).unwrap_err().to_string()
}

#[test]
fn every_key_is_read_and_none_is_unknown() {
    let file = parse(FULL);
    assert_eq!(file.unknown, []);
    let [first, second] = &file.modules[..] else {
        panic!("two modules")
    };
    assert_eq!(first.entrypoint.as_deref(), Some("run"));
    assert_eq!(first.allowed_hosts, ["https://api.example.com"]);
    assert_eq!(first.http_max_concurrency, Some(3));
    assert_eq!(first.argv.as_deref(), Some("x ${ARGS}"));
    assert_eq!(first.name.as_deref(), Some("shop"));
    assert_eq!(first.environment["A"], "1");
    assert_eq!(first.host, ["a.example", "*.b.example:8080"]);
    assert!(first.pass_authorization);
    let time = |time: Option<Time>| time.map(Time::get);
    assert_eq!(time(first.timeout), Some(Duration::from_secs(5)));
    let bytes = |size: Option<Memory>| size.map(Memory::bytes);
    assert_eq!(bytes(first.memory), Some(64 << 20));
    assert_eq!(bytes(first.max_response), Some(1 << 20));
    assert_eq!(first.max_instances.map(Count::get), Some(7));
    assert_eq!(time(first.max_cpu_time), Some(Duration::from_millis(100)));
    assert_eq!(first.max_open_files_per_instance.map(Count::get), Some(8));
    assert_eq!(first.max_open_files.map(Count::get), Some(80));
    assert_eq!(time(first.max_wall_time), Some(Duration::from_secs(60)));
    assert_eq!(bytes(first.max_output), Some(2 << 30));
    assert_eq!(first.compat, Some(Compat::V0_2));
    assert_eq!(first.response, Some(ResponseMode::Stream));
    assert_eq!(second.module, "oci:example/second:1");
    assert_eq!(second.host, ["c.example"]);
    assert_eq!(second.environment["TEST_NAME"], "dotted");
}

#[test]
fn volumes_keep_the_order_of_the_file() {
    let file = parse(FULL);
    let [z, a] = &file.modules[0].volumes[..] else {
        panic!("two volumes")
    };
    assert_eq!(
        (z.guest.as_str(), z.host.as_path()),
        ("/zzz", Path::new("z"))
    );
    assert!(!z.read_only);
    assert_eq!((a.guest.as_str(), a.host.as_path()), ("/a", Path::new("a")));
    assert!(a.read_only);

    // A table of its own is as good.
    let file = parse(
        "[[module]]\nroute = \"/\"\nmodule = \"m\"\n[module.volumes]\n\"/y\" = \"1\"\n\"/b\" = \"2\"\n",
    );
    let names: Vec<_> = file.modules[0]
        .volumes
        .iter()
        .map(|v| v.guest.as_str())
        .collect();
    assert_eq!(names, ["/y", "/b"]);
}

#[test]
fn a_module_needs_no_more_than_a_route_and_a_module() {
    let file = parse("[[module]]\nroute = \"/\"\nmodule = \"m.wasm\"\n");
    let [module] = &file.modules[..] else {
        panic!("one module")
    };
    assert!(module.volumes.is_empty() && module.allowed_hosts.is_empty());
    assert!(module.environment.is_empty() && module.host.is_empty());
    assert_eq!((module.compat, module.response), (None, None));
    assert!(!module.pass_authorization);
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_likely_meaning() {
    for (key, meaning) in [
        ("enviroment = {}", "did you mean `environment`?"),
        ("Environment = {}", "write `environment`"),
        ("allowed-hosts = []", "write `allowed_hosts`"),
        ("entry_point = \"x\"", "did you mean `entrypoint`?"),
        ("env = {}", "write `environment`"),
        ("repository = \"x\"", "never read it"),
        ("executor = { type = \"wagi\" }", "a key of Spin"),
        ("whatever = 1", "the keys are route, module"),
    ] {
        let file = parse(&format!(
            "[[module]]\nroute = \"/\"\nmodule = \"m\"\n{key}\n"
        ));
        let [unknown] = &file.unknown[..] else {
            panic!("{key}: {:?}", file.unknown)
        };
        let told = unknown.to_string();
        let name = key.split(' ').next().unwrap();
        assert!(
            told.starts_with(&format!("line 4: `{name}` has no effect: ")),
            "{told}"
        );
        assert!(told.contains(meaning), "{told}");
    }
}

#[test]
fn keys_above_the_first_module_are_told_of_too() {
    let file = parse(
        "default_host = \"x\"\ntimeout = \"5s\"\n[[module]]\nroute = \"/\"\nmodule = \"m\"\n",
    );
    let told: Vec<_> = file.unknown.iter().map(ToString::to_string).collect();
    assert!(
        told[0].starts_with("line 1: `default_host`") && told[0].contains("--hostname"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("line 2: `timeout`") && told[1].contains("[[module]]"),
        "{told:?}"
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_place_and_how_to_write_it() {
    for (line, expected) in [
        ("volumes = \"data\"", r#"volumes = { "/in-the-guest""#),
        ("volumes = { \"/\" = 7 }", "expected a directory"),
        (
            "environment = { PORT = 8080 }",
            r#"environment = { NAME = "value" }"#,
        ),
        (
            "environment.PORT = 8080",
            r#"environment = { NAME = "value" }"#,
        ),
        ("allowed_hosts = \"x\"", "allowed_hosts = ["),
        ("http_max_concurrency = -1", "http_max_concurrency = 8"),
        ("timeout = 30", r#"timeout = "30s""#),
        ("timeout = \"soon\"", r#"timeout = "30s""#),
        ("memory = \"64MB\"", r#"memory = "64MiB""#),
        ("compat = \"0.1\"", r#"compat = "strict""#),
        ("response = \"later\"", r#"response = "stream""#),
        ("host = 1", "expected a host"),
    ] {
        let told = refusal(&format!(
            "[[module]]\nroute = \"/\"\nmodule = \"m\"\n{line}\n"
        ));
        assert!(told.contains("line 4"), "{told}");
        // Values of variables may be secret.
        let shown = match line.starts_with("environment") {
            true => "environment.PORT = …",
            false => line,
        };
        assert!(told.contains(shown), "{told}");
        assert!(told.contains(expected), "{line}: {told}");
    }
}

#[test]
fn a_value_is_told_of_in_the_words_of_toml_as_in_a_headwater_toml() {
    let module = "[[module]]\nroute = \"/\"\nmodule = \"m\"\n";
    for (text, expected) in [
        (
            "compat = \"0.1\"",
            "unknown value `0.1`, expected one of `default`",
        ),
        (
            "argv = [\"a\"]",
            "invalid type: a list, expected text in quotation marks",
        ),
        (
            "entrypoint = { a = 1 }",
            "invalid type: a table, expected text in quotation",
        ),
        (
            "allowed_hosts = \"x\"",
            "expected a list: write it in brackets",
        ),
        ("volumes = \"x\"", "expected a table: write it in braces"),
        (
            "environment = { A = {} }",
            "expected text in quotation marks",
        ),
        (
            "http_max_concurrency = -1",
            "expected a whole number from 0 up",
        ),
        ("pass_authorization = 1", "expected `true` or `false`"),
        ("host = 1", "expected a host, or a list of hosts"),
        ("volumes = { value = }", "a value is missing here"),
    ] {
        let told = refusal(&format!("{module}{text}\n"));
        assert!(told.contains(expected), "{text}: {told}");
        for word in ["sequence", "map", "variant", "u32", "array", "literal"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    for text in ["module = 3\n", "[module]\nroute = \"/\"\nmodule = \"m\"\n"] {
        let told = refusal(text);
        assert!(told.contains("as in `[[module]]`"), "{told}");
        assert!(!told.contains("missing field"), "{told}");
    }
}

#[test]
fn a_reference_with_credentials_is_refused_and_not_shown() {
    for reference in [
        "oci://u:hunter2@h/a:1",
        "oci://hunter2@h/a",
        "oci:u:hunter2@h/a:1",
        "OCI://u:hunter2@h:5000",
    ] {
        let told = refusal(&format!(
            "[[module]]\nroute = \"/\"\nmodule = {reference:?}\n"
        ));
        assert!(
            told.contains("line 3") && told.contains("docker login"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    let digest = "a".repeat(64);
    parse(&format!(
        "[[module]]\nroute = \"/\"\nmodule = \"oci://h:5000/a:1@sha256:{digest}\"\n"
    ));
}

#[test]
fn a_broken_file_is_told_with_its_line_and_what_to_write() {
    let told = refusal("[[module]]\nroute = /x\nmodule = \"m\"\n");
    assert!(
        told.contains("line 2") && told.contains("quotation marks"),
        "{told}"
    );
    let told = refusal("[[module]]\nroute = \"/\"\n");
    assert!(
        told.contains("line 1") && told.contains("`module`"),
        "{told}"
    );
    let told = refusal("[[modules]]\nroute = \"/\"\nmodule = \"m\"\n");
    assert!(
        told.contains("`modules` has no effect") && told.contains("[[module]]"),
        "{told}"
    );
    let told = refusal("[module]\nroute = \"/\"\nmodule = \"m\"\n");
    assert!(told.contains("[[module]]"), "{told}");
    assert!(refusal("# nothing\n").contains("no module"));
    assert!(refusal("module = []\n").contains("no module"));
    assert!(refusal("[[service]]\nname = \"a\"\n").contains("headwater serve"));
    let zero = "[[module]]\nroute = \"/x\"\nmodule = \"m\"\nmax_instances = 0\n";
    let zero = refusal(zero);
    assert!(
        zero.contains("line 4") && zero.contains("must be 1 or more"),
        "{zero}"
    );
}

#[test]
fn a_modules_toml_is_recognised() {
    assert!(ModulesFile::recognises(FULL));
    assert!(ModulesFile::recognises("# x\n  [[ module ]] # y\n"));
    assert!(ModulesFile::recognises(
        "module = [{ route = \"/\", module = \"m\" }]"
    ));
    assert!(!ModulesFile::recognises(
        "[[service]]\nmodule = \"x.wasm\"\n"
    ));
}
