//! Makes the page that explains every setting, from the types that read them.

mod flags;
mod kind;
mod section;

#[cfg(test)]
mod tests;

pub(crate) use flags::flags;
use section::sections;

use crate::CapabilityKey;

const BEGIN: &str = "\
# The settings of Headwater

<!-- Made by `headwater reference > docs/reference/configuration.md` from the comments of the settings: change those. -->

This page lists every key of a `headwater.toml`. `headwater serve headwater.toml` serves the file, and
`headwater check headwater.toml` checks it. A small file:

```toml
";

const EXAMPLE: &str = r#"[server]
max_body = "10MiB"
trusted_proxies = ["10.0.0.0/8"]

[[service]]
name = "shop"
route = { path = "/shop/...", hosts = ["shop.example.com"] }
component = "shop.wasm"
allow_outgoing = ["https://api.example.com"]
secrets = { API_KEY = { file = "run/api-key" } }
timeout = "5s"

[[files]]
route = "/assets/..."
directory = "public"

[[redirect]]
route = "/"
to = "/shop/"
"#;

const PRECEDENCE: &str = "\
```

Keys have underscores (`max_body`), flags have hyphens (`--max-body`), and environment variables have capitals
(`HEADWATER_MAX_BODY`). The documentation names a setting by its key.

Paths are relative to the file. Values are taken as they are written: `${HOME}` is not replaced. Unknown keys and
values that make no sense are errors; [all of them](check.md) are reported at once, with line and column. Editors can
use the JSON schema of the file: [headwater.schema.json](headwater.schema.json), which `headwater schema` prints.

## Precedence

A setting may be given in several places. For each setting separately, the first of these applies:

1. a service's own key,
2. the flag, such as `--max-body 10MiB`,
3. the environment variable, such as `HEADWATER_MAX_BODY=10MiB` (an empty variable counts as not set),
4. the section of the file, such as `max_body = \"10MiB\"` in `[server]`, or `timeout = \"10s\"` in
   `[defaults]`, which applies to all services,
5. the default.

A list is one setting: if `ca` is given in two places, the first applies and nothing is added to it. The exception
is `h2c`: a service has its own upstreams and those of all services. Flags and variables of listeners apply to each
`--listen`, and `--listen` replaces the listeners of the file.

`--watch` alone means `--watch=true`; `--watch=false` overrides the file. If the value of a flag is optional, write it
after `=` or as the next word. The next word is the value if it can be read as one: `--admin 127.0.0.1:9000 x.wasm`
has a value, `--admin x.wasm` has none. If the name of a file looks like a value, write it with its folder: `./json`.

An environment variable that begins with `HEADWATER_` and belongs to no flag gets a [warning](check.md#warnings).

Some flags have no key, such as the grants for a single guest: `headwater serve --help` lists them. `RUST_LOG` and the
`OTEL_*` variables are common to many programs. The file of `headwater wagi` has no sections, so the command has flags
and variables for all sections that concern modules.

## Kinds of values

Values are written the same way in the file, as a flag and in a variable. In the file, text is in quotation marks.

| Kind | How it is written |
|---|---|
";

/// Returns a Markdown page that explains every setting of a `headwater.toml`, with its type,
/// default, flag and variable. The text ends with a line break; docs/reference/configuration.md
/// holds it.
#[must_use]
pub fn reference(keys: &[CapabilityKey]) -> String {
    let mut page = format!("{BEGIN}{EXAMPLE}{PRECEDENCE}");
    for kind in kind::KINDS {
        page += &format!("| {} | {} |\n", kind.name, kind.written);
    }
    for section in sections(&crate::schema::root(keys)) {
        page += "\n";
        page += &section.to_string();
    }
    page
}
