use crate::suggestion::nearest;

/// A key of a `[[module]]`, with an example.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

pub(super) const KEYS: &[Key] = &[
    key("route", r#"route = "/path/...""#),
    key("module", r#"module = "path/to/module.wasm""#),
    key("entrypoint", r#"entrypoint = "_start""#),
    key("bindle_server", r#"bindle_server = "http://host/v1""#),
    key(
        "volumes",
        r#"volumes = { "/in-the-guest" = "a/directory" }"#,
    ),
    key(
        "allowed_hosts",
        r#"allowed_hosts = ["https://api.example.com"]"#,
    ),
    key("http_max_concurrency", "http_max_concurrency = 8"),
    key("argv", r#"argv = "program ${SCRIPT_NAME} ${ARGS}""#),
    key("name", r#"name = "shop""#),
    key("environment", r#"environment = { NAME = "value" }"#),
    key("host", r#"host = "shop.example.com""#),
    key("pass_authorization", "pass_authorization = true"),
    key("timeout", r#"timeout = "30s""#),
    key("memory", r#"memory = "64MiB""#),
    key("max_response", r#"max_response = "64MiB""#),
    key("max_instances", "max_instances = 100"),
    key("max_cpu_time", r#"max_cpu_time = "500ms""#),
    key(
        "max_open_files_per_instance",
        "max_open_files_per_instance = 64",
    ),
    key("max_open_files", "max_open_files = 1024"),
    key("max_wall_time", r#"max_wall_time = "5m""#),
    key("max_output", r#"max_output = "1GiB""#),
    key("compat", r#"compat = "strict" (or "0.2", "default")"#),
    key("response", r#"response = "stream" (or "buffer")"#),
];

/// Keys that are found in files and have no effect, because they belong to another program or to an
/// older WAGI.
const ELSEWHERE: &[(&str, &str)] = &[
    ("repository", "WAGI reserved it and never read it"),
    (
        "default_host",
        "WAGI dropped it in 2021: --hostname names the default host, and `host` in a [[module]] \
         names the hosts of a route",
    ),
    (
        "executor",
        "it is a key of Spin: write `argv` and `entrypoint`",
    ),
    ("source", "it is a key of Spin: write `module`"),
    ("component", "a modules.toml has `module`"),
    ("wasm", "write `module`"),
    ("file", "write `module`"),
    ("path", "write `route`"),
    ("url", "write `route`"),
    ("id", "write `name`"),
    ("env", "write `environment`"),
    ("variables", "write `environment`"),
    ("args", "write `argv`"),
    ("arguments", "write `argv`"),
    ("function", "write `entrypoint`"),
    ("handler", "write `entrypoint`"),
    ("files", "write `volumes`"),
    ("mounts", "write `volumes`"),
    ("directories", "in a modules.toml it is `volumes`"),
    ("dirs", "write `volumes`"),
    ("hostname", "write `host`"),
    ("hostnames", "write `host`"),
    ("hosts", "write `host`"),
    ("allow_outgoing", "in a modules.toml it is `allowed_hosts`"),
    (
        "allowed_http_hosts",
        "it is a key of Spin: write `allowed_hosts`",
    ),
    (
        "allowed_outbound_hosts",
        "it is a key of Spin: write `allowed_hosts`",
    ),
    (
        "http_method",
        "it is a key of wagi-dotnet: the module sees REQUEST_METHOD, and gets every method",
    ),
    (
        "policies",
        "it is a key of wagi-dotnet: put a proxy that authenticates in front",
    ),
    (
        "roles",
        "it is a key of wagi-dotnet: put a proxy that authenticates in front",
    ),
    ("buffered_response", "write `max_response`"),
    ("max_concurrency", "write `max_instances`"),
];

pub(super) fn example(name: &str) -> Option<&'static str> {
    let found = KEYS.iter().find(|key| key.name == name);
    found.map(|key| key.example)
}

/// Returns the probable meaning of an unknown key.
pub(super) fn meaning(name: &str) -> String {
    // Other hosts of modules spell keys as `Environment` and `allowed-hosts`.
    let plain = name.to_ascii_lowercase().replace('-', "_");
    if example(&plain).is_some() {
        return format!("write `{plain}`");
    }
    if let Some((_, said)) = ELSEWHERE.iter().find(|(key, _)| *key == plain) {
        return (*said).to_owned();
    }
    match nearest(&plain, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
            format!("the keys are {}", names.join(", "))
        }
    }
}
