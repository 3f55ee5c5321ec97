use std::fmt;

use serde_json::Value;

use super::flags::{Flag, Flags, Set, flags};
use super::kind::{ROUTE, is_table, resolve, told, words};

pub(super) struct Section {
    /// The heading as it is written in the file, or the subject of the table.
    heading: String,
    /// The level of the heading, from 2.
    level: usize,
    about: String,
    set: Option<Set>,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    kind: String,
    default: String,
    flag: Option<Flag>,
    meaning: String,
}

/// Returns all tables, in the order in which the types have them, each before those within it.
pub(super) fn sections(root: &Value) -> Vec<Section> {
    let mut found = Vec::new();
    add(root, root, "", 2, &mut found);
    found
}

fn add(root: &Value, table: &Value, path: &str, level: usize, found: &mut Vec<Section>) {
    for (key, schema) in table["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        let Some((name, table, heading)) = within(root, schema, &path) else {
            continue;
        };
        // A route is described once.
        if name == "RouteConfig" && found.iter().any(|other| other.heading == heading) {
            continue;
        }
        let set = flags(name, &path);
        found.push(section(root, table, set, (heading, level)));
        add(root, table, &path, level + 1, found);
    }
}

/// Returns the table that a key holds, if it does, with its name in the schema and its heading.
fn within<'a>(
    root: &'a Value,
    schema: &'a Value,
    path: &str,
) -> Option<(&'a str, &'a Value, String)> {
    let (name, resolved) = resolve(root, schema);
    match name {
        Some(ROUTE) => {
            let place = root["definitions"].get("RouteConfig")?;
            Some(("RouteConfig", place, "A route".to_owned()))
        }
        Some(name) if is_table(resolved) => Some((name, resolved, format!("`[{path}]`"))),
        _ => {
            let (name, table) = resolve(root, resolved.get("items")?);
            let table = Some(table).filter(|table| is_table(table))?;
            Some((name?, table, format!("`[[{path}]]`")))
        }
    }
}

fn section(
    root: &Value,
    table: &Value,
    set: Option<(Set, Flags)>,
    (heading, level): (String, usize),
) -> Section {
    let (set, flags) = match set {
        Some((set, flags)) => (Some(set), flags),
        None => (None, Flags::new()),
    };
    let required = table.get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|keys| keys.iter().any(|name| name == key));
    let keys = table["properties"].as_object().into_iter().flatten();
    Section {
        heading,
        level,
        about: sentence(text(table)),
        set,
        rows: keys
            .map(|(key, schema)| row(root, key, schema, is_required(key), flags.get(key)))
            .collect(),
    }
}

fn row(root: &Value, key: &str, schema: &Value, required: bool, flag: Option<&Flag>) -> Row {
    let (said, default) = split_default(text(schema));
    let default = match default {
        _ if required => "must be given".to_owned(),
        Some(said) => said,
        None => match schema.get("default") {
            Some(value @ (Value::Number(_) | Value::String(_))) => value.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => "none".to_owned(),
            _ => "–".to_owned(),
        },
    };
    let kind = told(root, schema);
    // These words are about the flag: in the file it is a list.
    let said = match kind.starts_with("list") {
        true => said.replace(", separated by commas", ""),
        false => said,
    };
    let mut meaning = sentence(&said);
    for (word, said) in words(schema).into_iter().flatten() {
        if let Some(said) = said {
            meaning += &format!(" `{word}`: {}", lower(said));
        }
    }
    Row {
        key: key.to_owned(),
        kind,
        default,
        flag: flag.cloned(),
        meaning,
    }
}

fn text(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// Splits a description into the text without the default, and the default: `[default: 10s]` at the
/// end of a flag's help, or `Default: 10s.` in the comment of a key.
pub(super) fn split_default(said: &str) -> (String, Option<String>) {
    if let Some((said, default)) = said.split_once("[default: ") {
        let default = default.trim_end_matches(']');
        return (said.trim().to_owned(), Some(default.to_owned()));
    }
    let Some((before, rest)) = said.split_once("Default: ") else {
        return (said.to_owned(), None);
    };
    let (default, after) = rest.split_once(". ").unwrap_or((rest, ""));
    let said = format!("{before}{after}").trim().to_owned();
    (said, Some(default.trim_end_matches('.').to_owned()))
}

fn sentence(said: &str) -> String {
    let end = match said.ends_with(['.', '?']) || said.is_empty() {
        true => "",
        false => ".",
    };
    format!("{said}{end}")
}

fn lower(said: &str) -> String {
    let mut characters = said.chars();
    match (characters.next(), said.chars().nth(1)) {
        // Abbreviations keep their capitals.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => said.to_owned(),
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {}\n\n{}\n",
            "#".repeat(self.level),
            self.heading,
            self.about
        )?;
        let columns: &[&str] = match self.set {
            Some(Set::Section) => &["Key", "Type", "Default", "Flag", "Variable", "Meaning"],
            Some(Set::AllServices) => {
                &["Key", "Type", "Default", "Flag for all services", "Meaning"]
            }
            Some(Set::AllListeners) => &[
                "Key",
                "Type",
                "Default",
                "Flag for all of `--listen`",
                "Variable",
                "Meaning",
            ],
            None => &["Key", "Type", "Default", "Meaning"],
        };
        writeln!(
            f,
            "| {} |\n|{}",
            columns.join(" | "),
            "---|".repeat(columns.len())
        )?;
        for row in &self.rows {
            let code = |text: &str| format!("`{text}`");
            let flag = row.flag.as_ref().map(|flag| code(&flag.long));
            let variable = row.flag.as_ref().and_then(|flag| flag.variable.as_deref());
            let mut cells = vec![code(&row.key), row.kind.clone(), row.default.clone()];
            if self.set.is_some() {
                cells.push(flag.unwrap_or_default());
            }
            if let Some(Set::Section | Set::AllListeners) = self.set {
                cells.push(variable.map(code).unwrap_or_default());
            }
            cells.push(row.meaning.clone());
            let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}
