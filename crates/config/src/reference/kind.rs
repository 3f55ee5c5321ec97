use serde_json::Value;

/// A kind of values, identified by the title of its schema.
pub(super) struct Kind {
    pub(super) title: &'static str,
    pub(super) name: &'static str,
    pub(super) written: &'static str,
}

const fn kind(title: &'static str, name: &'static str, written: &'static str) -> Kind {
    Kind {
        title,
        name,
        written,
    }
}

/// The type of routes is recognised by its name, because its schema is written out once.
pub(super) const ROUTE: &str = "RouteConfigs";

pub(super) const KINDS: &[Kind] = &[
    kind(
        "Time",
        "time",
        "a number and `ms`, `s`, `m` or `h`, up to 100 years: `\"500ms\"`, `\"1.5s\"`, `\"2m\"`",
    ),
    kind(
        "Size",
        "size",
        "a whole number and `B`, `KiB`, `MiB` or `GiB`: `\"64KiB\"`, `\"10MiB\"`",
    ),
    kind(
        "Memory",
        "memory",
        "a size from 1 MiB to 4 GiB in `MiB` or `GiB`: `\"64MiB\"`; `64` is in MiB",
    ),
    kind(
        "Count",
        "count",
        "a whole number from 1 to 1000000000: `100`",
    ),
    kind(
        "Range",
        "range",
        "a count, or a range from which a count is drawn: `1000`, `\"750-1000\"`",
    ),
    kind(
        "Rate",
        "rate",
        "a count per `s`, `m` or `h`, with a burst if more may come at once: `\"100/s\"`, `\"100/s burst \
         200\"`",
    ),
    kind(
        "ListenAddress",
        "address",
        "an address and a port (0 takes a free one), a Unix-domain socket, or a systemd socket: \
         `\"127.0.0.1:8080\"`, `\"unix:/run/headwater.sock\"`, `\"systemd:NAME\"`",
    ),
    kind(
        "TcpAddress",
        "address and port",
        "`\"127.0.0.1:9901\"`, `\"[::1]:9901\"`; port 0 takes a free one",
    ),
    kind(
        "Network",
        "network",
        "a network, or one address: `\"10.0.0.0/8\"`, `\"fd00::/8\"`, `\"192.0.2.7\"`",
    ),
    kind(
        "AccessTo",
        "output",
        "`\"stdout\"`, `\"stderr\"`, or the name of a file",
    ),
    kind(
        "CodeCachePlace",
        "directory or `off`",
        "the name of a directory, or `\"off\"`",
    ),
    kind(
        "Rotate",
        "rotation",
        "`\"never\"`, `\"hourly\"`, `\"daily\"`, or a size",
    ),
    kind("Sample", "part", "a number from 0 (none) to 1 (all): `0.1`"),
    kind(
        ROUTE,
        "route",
        "a path, a [table](#a-route), or a list of these: `\"/x/...\"`, `{ path = \"/x/...\", hosts = \
         [\"a.example\"] }`, `[\"/x\", \"/y\"]`",
    ),
];

/// Returns the type of a value, in a few words.
pub(super) fn told(root: &Value, schema: &Value) -> String {
    let (name, schema) = resolve(root, schema);
    let titled = schema.get("title").and_then(Value::as_str);
    let titled = titled.or(name.filter(|name| *name == ROUTE));
    if let Some(kind) = KINDS.iter().find(|kind| Some(kind.title) == titled) {
        return kind.name.to_owned();
    }
    if let Some(words) = words(schema) {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        return one_of(words);
    }
    for key in ["anyOf", "oneOf"] {
        // A table may have these, too, about its keys.
        if let Some(Value::Array(any)) = schema.get(key).filter(|_| !is_table(schema)) {
            let mut kinds: Vec<_> = any.iter().map(|one| told(root, one)).collect();
            kinds.dedup();
            return one_of(kinds);
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => number(schema),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => match told(root, &schema["items"]).as_str() {
            "table" => "list of tables".to_owned(),
            kind => format!("list of {kind}"),
        },
        Some("object") => match (schema.get("additionalProperties"), schema.get("properties")) {
            (Some(of @ Value::Object(_)), _) => format!("table of {}", told(root, of)),
            (_, Some(Value::Object(keys))) if keys.len() == 1 => {
                let keys: Vec<_> = keys
                    .keys()
                    .map(|key| format!("`{{ {key} = … }}`"))
                    .collect();
                keys.concat()
            }
            _ => "table".to_owned(),
        },
        _ => "text".to_owned(),
    }
}

/// Resolves a schema that is a reference, and returns it with the name of the reference.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> (Option<&'a str>, &'a Value) {
    let reference = schema
        .get("$ref")
        .or_else(|| schema.get("allOf")?.get(0)?.get("$ref"));
    let name = reference
        .and_then(Value::as_str)
        .and_then(|at| at.strip_prefix("#/definitions/"));
    match name.and_then(|name| root["definitions"].get(name)) {
        Some(schema) => (name, schema),
        None => (None, schema),
    }
}

/// Returns true if the keys of a table are named.
pub(super) fn is_table(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

/// Returns the words that a value may be, with the meaning of each.
pub(super) fn words(schema: &Value) -> Option<Vec<(String, Option<&str>)>> {
    if let Some(Value::Array(values)) = schema.get("enum") {
        let values = values.iter().map(|value| (value.to_string(), None));
        return Some(values.collect());
    }
    let Some(Value::Array(any)) = schema.get("oneOf") else {
        return None;
    };
    let word = |one: &'_ Value| one.get("const").map(ToString::to_string);
    any.iter()
        .map(|one| Some((word(one)?, one.get("description").and_then(Value::as_str))))
        .collect()
}

fn number(schema: &Value) -> String {
    let bound = |key| schema.get(key).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) if most < 1 << 16 => format!("number from {least} to {most}"),
        _ => "number".to_owned(),
    }
}

fn one_of(mut kinds: Vec<String>) -> String {
    match kinds.pop() {
        Some(last) if kinds.is_empty() => last,
        Some(last) => format!("{} or {last}", kinds.join(", ")),
        None => String::new(),
    }
}
