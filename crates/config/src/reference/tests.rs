use std::path::Path;

use serde_json::Value;

use super::flags::{Set, flags};
use super::section::split_default;
use super::*;
use crate::File;
use crate::schema::root;

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// The documentation names settings as the file has them. Names with hyphens are flags.
#[test]
fn no_page_writes_a_key_with_hyphens() {
    // These are from the `request-options` of wasi:http.
    let of_wasi = [
        "connect-timeout",
        "first-byte-timeout",
        "between-bytes-timeout",
    ];
    let schema = root(&[]);
    let definitions = schema["definitions"].as_object().unwrap().values();
    let tables = definitions.chain([&schema]);
    let keys = tables.filter_map(|table| table["properties"].as_object());
    let spelled: Vec<_> = keys
        .flat_map(|properties| properties.keys())
        .filter(|key| key.contains('_'))
        .map(|key| key.replace('_', "-"))
        .filter(|spelled| !of_wasi.contains(&spelled.as_str()))
        .collect();
    assert!(spelled.len() > 60, "{spelled:?}");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let folders = ["", "tutorials", "how-to", "reference", "explanation"];
    let mut pages = vec![docs.join("../README.md")];
    for folder in folders.map(|folder| docs.join(folder)) {
        let found = std::fs::read_dir(folder).unwrap();
        pages.extend(found.map(|page| page.unwrap().path()));
    }
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|is| is == "md"))
    {
        let text = std::fs::read_to_string(page).unwrap();
        for key in &spelled {
            let written = format!("`{key}`");
            assert!(!text.contains(&written), "{written} in {}", page.display());
        }
    }
}

#[test]
fn the_example_of_the_page_is_a_good_file() {
    File::parse(EXAMPLE).unwrap();
}

/// Where a table has flags, each of its keys has one, except tables within it and keys that only
/// one service can have.
#[test]
fn each_key_of_a_section_has_the_flag_that_says_the_same() {
    let root = root(&[]);
    let keys_of = |name: &str| root["definitions"][name]["properties"].as_object().unwrap();
    for (name, path, without) in [
        ("ServerSettings", "server", &[][..]),
        ("AdminSettings", "admin", &[]),
        ("AccessLogSettings", "access_log", &[]),
        ("ReloadSettings", "reload", &[]),
        ("TelemetrySettings", "telemetry", &[]),
        ("ServiceSettings", "defaults", &["middleware", "outgoing"]),
        ("OutgoingSettings", "defaults.outgoing", &[]),
        ("ListenerSettings", "listener", &["tls"]),
        ("TlsSettings", "listener.tls", &["certificates"]),
        ("CertificateFiles", "listener.tls.certificates", &["names"]),
    ] {
        let (set, flags) = flags(name, path).unwrap();
        for (key, schema) in keys_of(name) {
            if without.contains(&key.as_str()) {
                continue;
            }
            let flag = flags.get(key).unwrap_or_else(|| panic!("{name}.{key}"));
            assert!(flag.long.len() > 2 && flag.variable.is_some(), "{flag:?}");
            if set == Set::Section {
                assert_eq!(schema["description"], one_line(&flag.help), "{name}.{key}");
            }
        }
    }
    let (set, of_all) = flags("Service", "service").unwrap();
    assert_eq!(set, Set::AllServices);
    let keys = keys_of("Service");
    for (key, schema) in keys_of("ServiceSettings") {
        assert_eq!(&keys[key]["description"], &schema["description"], "{key}");
        let has_none = ["middleware", "outgoing"].contains(&key.as_str());
        assert!(of_all.contains_key(key) || has_none, "{key}");
    }
}

#[test]
fn each_kind_of_values_is_explained() {
    fn titles(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::String(title)) = object.get("title") {
                    found.push(title.clone());
                }
                object.values().for_each(|value| titles(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| titles(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    titles(&root(&[])["definitions"], &mut found);
    assert!(found.len() > 30, "{found:?}");
    for title in &found {
        let known = kind::KINDS.iter().any(|kind| kind.title == title);
        assert!(known, "{title}");
    }
    found.push(kind::ROUTE.to_owned());
    let used = |kind: &kind::Kind| found.iter().any(|title| title == kind.title);
    assert!(kind::KINDS.iter().all(used), "{found:?}");
}

#[test]
fn a_default_is_told_apart_from_what_is_said() {
    let split = |said| {
        let (said, default) = split_default(said);
        (said, default.unwrap_or_default())
    };
    let pair = |said: &str, default: &str| (said.to_owned(), default.to_owned());
    assert_eq!(split("How long [default: 1.5s]"), pair("How long", "1.5s"));
    assert_eq!(
        split("What. Default: `_start`. Modules only."),
        pair("What. Modules only.", "`_start`")
    );
    assert_eq!(split("Default: `0.2`."), pair("", "`0.2`"));
    assert_eq!(split("What."), pair("What.", ""));
}

#[test]
fn a_row_has_all_that_is_to_be_known_of_a_key() {
    let page = reference(&[]);
    for row in [
        "| `max_body` | size | 100MiB | `--max-body` | `HEADWATER_MAX_BODY` | Size of a request's body; larger ones \
         are answered 413. A service may have its own. |",
        "| `name` | text | must be given |  | Name in traces and logs. Unique in the file. |",
        "| `route` | route | must be given |",
        "| `max_queue` | count | 1000 | `--max-queue` | Requests that may wait for an instance, even for one that \
         is being started; further requests are answered 503. Components only. |",
        "| `max_queue` | count | 1000 | `--max-queue` | `HEADWATER_MAX_QUEUE` | Requests",
        "| `log` | text | info | `--log` | `RUST_LOG` |",
        "| `certificate` | text | must be given | `--tls-cert` | `HEADWATER_TLS_CERT` |",
        "| `proxy_protocol` | `\"off\"` or `\"required\"` | off | `--proxy-protocol` |",
        "| `format` | `\"json\"` or `\"combined\"` | json | `--access-log` | `HEADWATER_ACCESS_LOG` |",
        "| `max_requests` | count | 1024 | `--max-outgoing-requests` |",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
    for heading in [
        "## `[server]`",
        "## `[[service]]`",
        "### A route",
        "### `[service.outgoing]`",
        "## `[defaults]`",
        "### `[defaults.outgoing]`",
        "## `[telemetry]`",
        "### `[[service.client_certificates]]`",
        "## `[[redirect]]`",
    ] {
        assert!(page.contains(&format!("\n{heading}\n")), "{heading}");
    }
}
