//! What was probably meant by a key that there is none of.

use crate::reference::flags;

/// Names that keys have elsewhere, and theirs here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("env", "environment"),
    ("variables", "environment"),
    ("args", "argv"),
    ("arguments", "argv"),
    ("function", "entrypoint"),
    ("volumes", "directories"),
    ("mounts", "directories"),
    ("dirs", "directories"),
    ("allowed_hosts", "allow_outgoing"),
    ("allowed_http_hosts", "allow_outgoing"),
    ("allowed_outbound_hosts", "allow_outgoing"),
    ("wasm", "component"),
    ("id", "name"),
    ("location", "to"),
];

/// Keys of a route, as they are looked for beside it.
const IN_ROUTE: &[(&str, &str)] = &[
    ("path", "path"),
    ("host", "hosts"),
    ("hosts", "hosts"),
    ("hostname", "hosts"),
    ("strip_prefix", "strip_prefix"),
];

/// What serde says was expected, and how that is written in TOML.
const WRITTEN: &[(&str, &str)] = &[
    (
        "invalid type: map, expected a sequence",
        "this is one table, and there may be several: write its name in double brackets, as in `[[service]]`",
    ),
    (
        "expected a sequence",
        "expected a list: write it in brackets, as in `[\"a\", \"b\"]`",
    ),
    (
        "expected a map",
        "expected a table: write it in braces, as in `{ key = \"value\" }`",
    ),
    (
        "expected a boolean",
        "expected `true` or `false`, without quotation marks",
    ),
    ("expected a string", "expected text in quotation marks"),
    ("expected path string", "expected a path in quotation marks"),
    ("expected usize", "expected a whole number from 0 up"),
    ("expected u16", "expected a whole number"),
];

/// Tables whose keys have flags of other names, and how they are called.
const TABLES: &[(&str, &str)] = &[
    ("ServerSettings", "`[server]`"),
    ("AdminSettings", "`[admin]`"),
    ("AccessLogSettings", "`[access_log]`"),
    ("ReloadSettings", "`[reload]`"),
    ("TelemetrySettings", "`[telemetry]`"),
    ("ServiceSettings", "a `[[service]]` or `[defaults]`"),
    (
        "OutgoingSettings",
        "the table `outgoing` of a `[[service]]` or of `[defaults]`",
    ),
    ("ListenerSettings", "a `[[listener]]`"),
    ("TlsSettings", "the table `tls` of a `[[listener]]`"),
    (
        "CertificateFiles",
        "the list `tls.certificates` of a `[[listener]]`",
    ),
];

/// The message of an error of TOML; of an unknown key, with what was meant by it in place of all keys, if
/// one is near, and of a value of another type, with how it is written.
pub(crate) fn message(said: &str) -> String {
    meant(said)
        .or_else(|| written(said))
        .unwrap_or_else(|| said.to_owned())
}

/// The name that is at most a third of its letters away.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| distance * 3 <= known.len())
        .min()
        .map(|(_, known)| known)
}

/// Whether a name is a key's, or is probably meant for it.
pub(crate) fn may_mean(name: &str, key: &str) -> bool {
    let plain = plain(name);
    let is_it = |(elsewhere, here): &(&str, &str)| *elsewhere == plain && *here == key;
    nearest(&plain, [key]).is_some() || ELSEWHERE.iter().any(is_it)
}

/// As keys are written.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// What a message says of types, in words of TOML.
fn written(message: &str) -> Option<String> {
    let (serde_s, ours) = WRITTEN.iter().find(|(said, _)| message.ends_with(said))?;
    Some(format!("{}{ours}", message.strip_suffix(serde_s)?))
}

/// Serde says "unknown field `x`, expected one of `a`, `b`", and the keys only so.
fn meant(message: &str) -> Option<String> {
    let (name, expected) = message
        .strip_prefix("unknown field `")?
        .split_once("`, expected ")?;
    let names: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    let plain = plain(name);
    let of = |list: &[(&str, &'static str)]| {
        let found = list.iter().find(|(key, _)| *key == plain);
        found.map(|(_, meant)| *meant)
    };
    if !names.contains(&&*plain)
        && let Some((key, table)) = flag(&plain)
    {
        return Some(format!("unknown field `{name}`: it is `{key}` of {table}"));
    }
    if let Some(near) = nearest(&plain, names.iter().copied()) {
        return Some(format!("unknown field `{name}`: did you mean `{near}`?"));
    }
    if let Some(meant) = of(ELSEWHERE).filter(|meant| names.contains(meant)) {
        return Some(format!("unknown field `{name}`: did you mean `{meant}`?"));
    }
    let key = of(IN_ROUTE).filter(|_| names.contains(&"route"))?;
    let rest = match key {
        "hosts" => ", hosts = [\"a.example\"]",
        "strip_prefix" => ", strip_prefix = true",
        _ => "",
    };
    Some(format!(
        "unknown field `{name}`: it is part of the route: `route = {{ path = \"/x/...\"{rest} }}`"
    ))
}

/// The key that a flag of this name stands for, and its table.
fn flag(name: &str) -> Option<(String, &'static str)> {
    let long = format!("--{}", name.replace('_', "-"));
    TABLES.iter().find_map(|(table, shown)| {
        let (_, flags) = flags(table, "")?;
        let (key, _) = flags.into_iter().find(|(_, flag)| flag.long == long)?;
        Some((key, *shown))
    })
}

#[cfg(test)]
mod tests {
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
                "it is `max_requests` of the table `outgoing` of a `[[service]]` or of `[defaults]`",
            ),
            (
                "drain-timeout = \"5s\"",
                "it is `drain_timeout` of `[server]`",
            ),
            ("access_log_to = \"x\"", "it is `to` of `[access_log]`"),
            (
                "tls-key = \"x\"",
                "it is `key` of the list `tls.certificates` of a `[[listener]]`",
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
                "`unix:/x` is no address and port",
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
}
