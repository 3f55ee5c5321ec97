use crate::File;

fn told(key: &str) -> String {
    let text = format!("[[service]]\nname = \"a\"\ncomponent = \"a\"\nroute = \"/\"\n{key}\n");
    File::parse(&text).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_is_told_with_what_was_meant_by_it() {
    for (key, meant) in [
        ("time_out = \"5s\"", "did you mean `timeout`?"),
        ("max-body = \"5MiB\"", "did you mean `max_body`?"),
        ("Environment = {}", "did you mean `environment`?"),
        ("env = {}", "did you mean `environment`?"),
        ("allowed_hosts = []", "did you mean `allow_outgoing`?"),
        ("hosts = [\"a\"]", "hosts = [\"a.example\"] }`"),
        ("strip_prefix = true", "strip_prefix = true }`"),
    ] {
        let told = told(key);
        let name = key.split(' ').next().unwrap();
        assert!(told.contains("line 5, column 1\n"), "{told}");
        assert!(told.contains(&format!("5 | {key}\n")), "{told}");
        assert!(told.contains(&format!("unknown field `{name}`")), "{told}");
        assert!(
            told.ends_with(meant) && !told.contains("expected"),
            "{told}"
        );
    }
}

#[test]
fn the_name_of_a_flag_is_told_with_the_key_and_its_table() {
    for (key, meant) in [
        (
            "max-outgoing-requests = 5",
            "write `max_requests` in the table `outgoing` of a `[[service]]` or of `[defaults]`",
        ),
        (
            "drain-timeout = \"5s\"",
            "write `drain_timeout` in `[server]`",
        ),
        ("access_log_to = \"x\"", "write `to` in `[access_log]`"),
        (
            "tls-key = \"x\"",
            "write `key` in the list `tls.certificates` of a `[[listener]]`",
        ),
        ("[server]\nmax-body = \"1MiB\"", "did you mean `max_body`?"),
        ("[access-log]", "did you mean `access_log`?"),
    ] {
        let told = told(key);
        assert!(told.ends_with(meant), "{told}");
    }
}

#[test]
fn a_key_that_is_like_none_is_told_with_all_there_are() {
    let told = told("colour = \"red\"");
    assert!(
        told.contains("expected one of") && told.contains("`timeout`"),
        "{told}"
    );
}

#[test]
fn what_should_be_tables_is_told_with_the_double_brackets() {
    for text in [
        "service = 3\n",
        "service = \"a\"\n",
        "service = {}\n",
        "[service]\nname = \"a\"\n",
        "[[answer]]\nroute = \"/\"\n[redirect]\nto = \"/x\"\n",
    ] {
        let told = File::parse(text).unwrap_err().to_string();
        assert!(told.ends_with("as in `[[service]]`"), "{told}");
    }
}

#[test]
fn a_value_of_another_type_is_told_with_how_it_is_written() {
    for (key, line, said) in [
        (
            "allow_outgoing = \"a\"",
            "line 5, column 18",
            "write it in brackets",
        ),
        (
            "environment = \"a\"",
            "line 5, column 15",
            "write it in braces",
        ),
        (
            "environment = { A = 1 }",
            "line 5, column 21",
            "text in quotation marks",
        ),
        (
            "min_idle = -1",
            "line 5, column 12",
            "a whole number from 0 up",
        ),
        (
            "[telemetry]\ntrace_file = 3",
            "line 6, column 14",
            "expected a path in quotation marks",
        ),
        (
            "[[redirect]]\nroute = \"/\"\nto = \"/\"\nstatus = \"a\"",
            "line 8, column 10",
            "expected a whole number",
        ),
        (
            "[listener]\nlisten = \"a\"",
            "line 5, column 1",
            "`[[service]]`",
        ),
        (
            "[reload]\nwatch = \"yes\"",
            "line 6, column 9",
            "`true` or `false`",
        ),
        (
            "secrets = { A = {} }",
            "line 5, column 17",
            "`{ file = \"PATH\" }`",
        ),
        (
            "secrets = { A = \"x\" }",
            "line 5, column 17",
            "`{ file = \"PATH\" }`",
        ),
        (
            "secrets = { A = { env = \"B\", file = \"c\" } }",
            "line 5, column 17",
            "`{ file = \"PATH\" }`",
        ),
        (
            "secrets = { A = { fil = \"c\" } }",
            "line 5, column 19",
            "did you mean `file`?",
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            "line 6, column 20",
            "such as `192.0.2.7`, `10.0.0.0/8`",
        ),
        (
            "[server]\nplaces = 30000",
            "line 6, column 10",
            "from 1 to 20000",
        ),
        (
            "[server]\nmax_headers = 10001",
            "line 6, column 15",
            "from 1 to 10000",
        ),
        (
            "max_queue = 1000000001",
            "line 5, column 13",
            "at most 1000000000",
        ),
        (
            "[server]\nmax_hops = 101",
            "line 6, column 12",
            "from 0 to 100",
        ),
        (
            "[admin]\nlisten = \"unix:/x\"",
            "line 6, column 10",
            "`unix:/x` is not an address and a port",
        ),
        (
            "[[answer]]\nroute = \"/\"\nstatus = 999",
            "line 7, column 10",
            "from 200 to 599",
        ),
        (
            "[[redirect]]\nroute = \"/\"\nto = \"/\"\nstatus = 300",
            "line 8, column 10",
            "write 301, 302",
        ),
    ] {
        let told = told(key);
        assert!(told.contains(line) && told.contains(said), "{told}");
        assert!(
            !told.contains("sequence") && !told.contains("element"),
            "{told}"
        );
    }
}

#[test]
fn what_was_meant_is_told_in_tables_and_sections_too() {
    for (key, line, meant) in [
        (
            "[server]\nmax_conections = 5",
            "line 6",
            "`max_connections`",
        ),
        (
            "outgoing = { conect_timeout = \"2s\" }",
            "line 5",
            "`connect_timeout`",
        ),
        ("[servr]", "line 5", "`server`"),
        ("[defaults]\ntime_out = 5", "line 6", "`timeout`"),
        (
            "[[redirect]]\nroute = { pth = \"/x\" }\nto = \"/\"",
            "line 6",
            "`path`",
        ),
        (
            "[[redirect]]\nroute = [\"/a\", { path = \"/x\", host = [] }]\nto = \"/\"",
            "line 6",
            "`hosts`",
        ),
    ] {
        let told = told(key);
        assert!(told.contains(line), "{told}");
        assert!(told.ends_with(&format!("did you mean {meant}?")), "{told}");
    }
}
