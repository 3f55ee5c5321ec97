//! Tips for words that other programs know.

use std::ffi::OsString;
use std::path::Path;

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use headwater_config::modules::ModulesFile;

/// The names that other servers have for the flag `--listen`.
pub(super) const LISTEN: [&str; 6] = ["--port", "-p", "--addr", "--address", "--bind", "--host"];

/// Adds a tip to an error about a word that has another meaning in other programs.
pub(super) fn add(error: &mut Error, words: &[OsString]) {
    let tip = match (
        error.kind(),
        error.get(ContextKind::InvalidSubcommand),
        error.get(ContextKind::InvalidArg),
    ) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)), _) => file(word),
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(flag))) => listen(flag, words),
        _ => None,
    };
    let Some(tip) = tip else {
        return;
    };
    for kind in [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedCommand,
    ] {
        error.remove(kind);
    }
    let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
    error.insert(ContextKind::Suggested, tip);
}

/// Returns the tip for a file in place of a command.
fn file(word: &str) -> Option<String> {
    let path = Path::new(word);
    if !path.exists() && path.extension().is_none() {
        return None;
    }
    let is_modules = path.ends_with("modules.toml")
        || std::fs::read_to_string(path).is_ok_and(|text| ModulesFile::recognises(&text));
    Some(match is_modules {
        true => format!("to serve it, write `headwater wagi -c {word}`"),
        false => format!("to serve it, write `headwater serve {word}`"),
    })
}

/// Returns the tip for a flag that sets the address in other programs, such as `--port 8080`.
fn listen(flag: &str, words: &[OsString]) -> Option<String> {
    let name = flag
        .split('=')
        .next()
        .filter(|name| LISTEN.contains(name))?;
    let words = || words.iter().filter_map(|word| word.to_str());
    let joined = words().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let apart = || words().skip_while(|word| *word != name).nth(1);
    let value = joined.or_else(apart).unwrap_or_default();
    let address = match value.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => "127.0.0.1:8080".to_owned(),
    };
    Some(format!(
        "to say where to listen, write `--listen {address}`"
    ))
}
