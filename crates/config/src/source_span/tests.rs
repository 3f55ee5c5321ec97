use super::*;

const TEXT: &str = r#"# ä
[[service]]
name = "a"

[[service]]
name = "b"
allow_outgoing = ["a.example",
  "b.example"]
proxy = "http://user:password@proxy"
outgoing.max_requests = 0
secrets = { "A.B" = { env = "X" } }

[service.environment]
KEY = "value"
"#;

fn place(index: usize, key: &str) -> String {
    let source = Source::new(TEXT);
    source
        .place("service", index, key)
        .unwrap_or_else(|| panic!("{index}.{key} is there"))
        .to_string()
}

#[test]
fn a_key_is_found_in_its_own_service() {
    assert_eq!(place(0, "name"), r#"line 3, column 1: name = "a""#);
    assert_eq!(place(1, "name"), r#"line 6, column 1: name = "b""#);
    assert_eq!(place(0, ""), "line 2, column 1: [[service]]");
    let source = Source::new(TEXT);
    assert_eq!(source.place("service", 0, "proxy"), None);
    assert_eq!(source.place("service", 2, "name"), None);
    assert_eq!(source.place("redirect", 0, ""), None);
}

#[test]
fn entries_are_counted_without_those_that_were_not_read() {
    let text: String = (0..5)
        .map(|number| format!("[[answer]]\nbody = \"{number}\"\n"))
        .collect();
    let mut source = Source::new(&text);
    let texts = |source: &Source| -> Vec<_> {
        let places = (0..5).map_while(|index| source.place("answer", index, "body"));
        places.map(|place| place.text).collect()
    };
    source.leave_out("answer", 3);
    source.leave_out("answer", 1);
    assert_eq!(
        texts(&source),
        ["body = \"0\"", "body = \"2\"", "body = \"4\""]
    );
    source.leave_out("answer", 1);
    source.leave_out("service", 0);
    assert_eq!(texts(&source), ["body = \"0\"", "body = \"4\""]);
}

#[test]
fn what_is_below_a_key_has_a_place_of_its_own() {
    assert_eq!(
        place(1, "outgoing.max_requests"),
        "line 10, column 10: max_requests = 0"
    );
    assert_eq!(
        place(1, "allow_outgoing.1"),
        r#"line 8, column 3: "b.example""#
    );
    assert_eq!(
        place(1, "secrets.A.B"),
        "line 11, column 13: secrets.A.B = …"
    );
    assert_eq!(
        place(1, "allow_outgoing"),
        r#"line 7, column 1: allow_outgoing = ["a.example",…"#
    );
}

#[test]
fn what_is_below_a_list_has_a_place_too() {
    let text = "[[listener]]\nroute = [\"/a\", { path = \"/b\", hosts = [\"x\", \"y\"] }]\n\
                [[listener.tls.certificates]]\nkey = \"k\"\n";
    let source = Source::new(text);
    let place = |key| source.place("listener", 0, key).unwrap().to_string();
    assert_eq!(place("route.0"), r#"line 2, column 10: "/a""#);
    assert_eq!(place("route.1.path"), r#"line 2, column 18: path = "/b""#);
    assert_eq!(place("route.1.hosts.1"), r#"line 2, column 45: "y""#);
    assert_eq!(
        place("tls.certificates.0.key"),
        r#"line 4, column 1: key = "k""#
    );
    assert_eq!(source.place("listener", 0, "route.2"), None);
    assert_eq!(source.place("listener", 0, "route.0.path"), None);
}

#[test]
fn a_value_that_may_be_secret_is_not_in_a_place() {
    assert_eq!(place(1, "proxy"), "line 9, column 1: proxy = …");
    let place = place(1, "environment.KEY");
    assert_eq!(place, "line 14, column 1: environment.KEY = …");
    assert!(!format!("{:?}", Source::new(TEXT)).contains("password"));
}

#[test]
fn a_snippet_looks_as_those_of_toml_do() {
    let text = "a = 1\n\"é\" = x\n";
    let error = toml::from_str::<toml::Table>(text).unwrap_err();
    let snippet = Source::new(text).snippet(&error.span().unwrap());
    let theirs = error.to_string();
    let theirs = theirs.strip_prefix("TOML parse error at ").unwrap();
    assert!(theirs.starts_with(&snippet), "{theirs}\n{snippet}");
}

#[test]
fn an_error_about_a_value_that_may_be_secret_shows_neither_the_line_nor_the_value() {
    for text in [
        "[admin]\ntoken = \"hunter2\"\n",
        "[[service]]\nsecrets = { K = \"hunter2\" }\n",
        "[[service]]\nsecrets = \"hunter2\"\n",
        "[[service]]\nenvironment = \"hunter2\"\n",
        "[defaults]\nproxy = \"http://u:hunter2@h:80\" stray\n",
    ] {
        let (_, errors) = crate::File::read(text, &[]);
        assert!(!errors.is_empty(), "{text}");
        for error in errors {
            let told = format!("{error} {:?}", error.location());
            assert!(!told.contains("hunter2"), "{text}: {told}");
        }
    }
}
