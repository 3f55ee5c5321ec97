//! The page that explains every setting, made from the types that read them.

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

`headwater serve headwater.toml` serves what the file names, and `headwater check headwater.toml` says what
that is, without serving it. A small file:

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

Keys are written with underscores (`max_body`), flags with hyphens (`--max-body`), and variables in capitals
(`HEADWATER_MAX_BODY`). The documentation names a setting by its key.

Paths are relative to the file. Values are taken as they are written: `${HOME}` is not replaced. Unknown keys are
errors, and so are values that make no sense; [all of them](check.md) are told at once, with line and column.
Editors that know JSON schemas find one of this file in [headwater.schema.json](headwater.schema.json), which
`headwater schema` prints.

## What goes before what

A setting may be made in several places. The first of these that says something holds, for that setting
alone:

1. a service's own key,
2. the flag, such as `--max-body 10MiB`,
3. the environment variable, such as `HEADWATER_MAX_BODY=10MiB` (an empty one says nothing),
4. the section of the file, such as `max_body = \"10MiB\"` in `[server]`, or `timeout = \"10s\"` in
   `[defaults]`, which is for all services,
5. the default.

A list is one setting: of `ca` in two places, the first holds and nothing is added to it, but for `h2c`,
of which a service has its own and those of all. Of listeners, flags and variables say how it is at each
`--listen`, which replaces those of the file.

`--watch` alone is a yes, and `--watch=false` takes back what the file says. Where the value of a flag may be left
out, it stands behind `=`, or is the next word if that can be read as one: `--admin 127.0.0.1:9000 x.wasm` has a
value, `--admin x.wasm` has none. A file that is called like a value is written with its folder: `./json`.

An environment variable that begins with `HEADWATER_` and that no flag has is [warned of](check.md#warnings).

What only flags say, such as
what the guest of a file without services may do, is in `headwater serve --help`; `RUST_LOG` and the
`OTEL_*` variables are those that other programs know, too. `headwater wagi`, whose file has no sections,
has the flags and variables of all of them that are for modules.

## Kinds of values

They are written alike in the file, where text stands in quotation marks, as a flag and in a variable.

| Kind | How it is written |
|---|---|
";

/// A page in Markdown that explains every setting of a `headwater.toml`, with its type, default, flag and
/// variable. It is text that ends with a line's end; docs/reference/configuration.md holds it.
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
