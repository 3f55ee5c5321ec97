//! Suggests a key for an unknown one.
//!
//! serde and TOML report errors and known keys only as English text. The tests get each message
//! that is read here from the real parser, so they fail when a dependency changes its words.

use crate::reference::flags;

/// Names that keys have in other programs, and their names here.
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

/// Keys of a route that users write next to `route`.
const IN_ROUTE: &[(&str, &str)] = &[
    ("path", "path"),
    ("host", "hosts"),
    ("hosts", "hosts"),
    ("hostname", "hosts"),
    ("strip_prefix", "strip_prefix"),
];

/// serde's expectation, and how to write it in TOML.
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
    ("expected u32", "expected a whole number from 0 up"),
    ("expected u16", "expected a whole number"),
    (
        "invalid literal string, expected `'`",
        "a value is missing here, or text that begins with `'` has no end",
    ),
];

/// The beginning of serde's messages about what was written, and the text in place of it.
const READ: &[(&str, &str)] = &[
    ("unknown variant ", "unknown value "),
    ("invalid type: map, ", "invalid type: a table, "),
    ("invalid type: sequence, ", "invalid type: a list, "),
];

/// serde's message about a list at the top of a file, and the text in place of it. All lists there
/// are lists of tables.
const TABLES_WRITTEN: (&str, &str) = (
    "expected a sequence",
    "expected tables: begin each with its name in double brackets, as in `[[service]]`",
);

/// Tables whose keys have flags of other names, and the words for these tables.
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

/// Returns the message for an error of TOML. For an unknown key, it suggests one key in place of
/// listing all, if one is near; for a value of another type, it shows how to write it. `key` is the
/// key that the error is about, below its table; empty at the top of a file.
pub(crate) fn message(said: &str, key: &str) -> String {
    let text = meant(said)
        .or_else(|| written(said, key))
        .unwrap_or_else(|| said.to_owned());
    let mut read = READ.iter();
    read.find_map(|(serde_s, ours)| Some(format!("{ours}{}", text.strip_prefix(serde_s)?)))
        .unwrap_or(text)
}

/// Returns the nearest name whose distance is at most a third of its letters.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| distance * 3 <= known.len())
        .min()
        .map(|(_, known)| known)
}

/// Returns true if a name is the key's, or probably meant for it.
pub(crate) fn may_mean(name: &str, key: &str) -> bool {
    let plain = plain(name);
    let is_it = |(elsewhere, here): &(&str, &str)| *elsewhere == plain && *here == key;
    nearest(&plain, [key]).is_some() || ELSEWHERE.iter().any(is_it)
}

/// Spells a name as keys are spelled.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// Returns a message about types in words of TOML.
fn written(message: &str, key: &str) -> Option<String> {
    let mut all = WRITTEN.iter();
    let (serde_s, ours) = match all.find(|(said, _)| message.ends_with(said))? {
        (said, _) if key.is_empty() && *said == TABLES_WRITTEN.0 => &TABLES_WRITTEN,
        written => written,
    };
    Some(format!("{}{ours}", message.strip_suffix(serde_s)?))
}

/// Returns a suggestion for the message "unknown field `x`, expected one of `a`, `b`", which is the
/// only place where serde names the keys.
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
        return Some(format!("unknown field `{name}`: write `{key}` in {table}"));
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
        "unknown field `{name}`: write it in the route: `route = {{ path = \"/x/...\"{rest} }}`"
    ))
}

/// Returns the key that a flag of this name stands for, and its table.
fn flag(name: &str) -> Option<(String, &'static str)> {
    let long = format!("--{}", name.replace('_', "-"));
    TABLES.iter().find_map(|(table, shown)| {
        let (_, flags) = flags(table, "")?;
        let (key, _) = flags.into_iter().find(|(_, flag)| flag.long == long)?;
        Some((key, *shown))
    })
}

#[cfg(test)]
mod tests;
