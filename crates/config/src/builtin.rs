//! Answers that need no guest.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::Bounded;
use crate::route::RouteConfigs;

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectEntry {
    /// Paths that it answers.
    pub route: RouteConfigs,
    /// Destination of the redirect: a path or a URL, with `{rest}` for the part of the path that
    /// matches `...`, and `{query}` for the query.
    pub to: String,
    /// Status: 301, 302, 303, 307 or 308. After 307 and 308 clients keep the method. Default: 308.
    #[serde(default = "permanently", deserialize_with = "redirecting")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
    /// Middlewares that requests pass through, the outermost first: names of `[[middleware]]`.
    /// Default: those of `[defaults]`.
    pub middleware: Option<Vec<String>>,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerEntry {
    /// Paths that it answers.
    pub route: RouteConfigs,
    /// Status. Default: 200.
    #[serde(default = "ok")]
    pub status: Bounded<200, 599>,
    /// Header fields. Default: `content-type: text/plain`, if there is a body.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Text of the body. Default: empty.
    #[serde(default)]
    pub body: String,
    /// Middlewares that requests pass through, the outermost first: names of `[[middleware]]`.
    /// Default: those of `[defaults]`.
    pub middleware: Option<Vec<String>>,
}

/// The files of a directory, with ranges, validators and precompressed variants (`x.js.br`,
/// `x.js.gz`, `x.js.zst`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesEntry {
    /// Paths that it answers: all paths below one, such as `/assets/...`.
    pub route: RouteConfigs,
    /// Directory, relative to the file.
    pub directory: PathBuf,
    /// Middlewares that requests pass through, the outermost first: names of `[[middleware]]`.
    /// Default: those of `[defaults]`.
    pub middleware: Option<Vec<String>>,
}

fn permanently() -> u16 {
    308
}

const fn ok() -> Bounded<200, 599> {
    Bounded::known::<200>()
}

fn redirecting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    match status {
        301 | 302 | 303 | 307 | 308 => Ok(status),
        _ => Err(D::Error::custom(format!(
            "the status {status} does not redirect: write 301, 302, 303, 307 or 308"
        ))),
    }
}
