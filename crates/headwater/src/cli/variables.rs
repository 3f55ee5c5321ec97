//! Environment variables that stand for flags: an empty one says nothing, and one that makes no sense is
//! told by its own name, which clap does not know to do.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};

use super::Cli;

/// Reads a command line, the program's name first, and the variables of flags that are not on it.
///
/// # Errors
///
/// When it makes no sense, or somebody asks for help.
pub(crate) fn parse<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Result<Cli, Error> {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    // As compose files do it that pass on what nobody has set.
    let command = without(Cli::command(), &|arg| is_set(arg) == Some(false));
    read(command.clone(), &words).map_err(|error| blame(error, &command, &words))
}

fn read(mut command: Command, words: &[OsString]) -> Result<Cli, Error> {
    let mut matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Names the variable in an error about a flag that is not on the command line.
fn blame(mut error: Error, command: &Command, words: &[OsString]) -> Error {
    let Some(flag) = flag(&error) else {
        return error;
    };
    let is_it = |arg: &Arg| arg.get_long() == Some(name(&flag)) && is_set(arg) == Some(true);
    let found = command
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .find(|arg| is_it(arg));
    let Some(variable) = found.and_then(Arg::get_env) else {
        return error;
    };
    // A flag that is on the command line is as wrong without its variable.
    let again = read(without(command.clone(), &is_it), words);
    let is_variable = again.map_or_else(|error| self::flag(&error), |_| None) != Some(flag.clone());
    if is_variable {
        let variable = variable.to_string_lossy();
        let both = format!("{variable} (the environment variable for {flag})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(both));
    }
    error
}

/// The flag that an error is about, as it is shown: `--max-body <SIZE>`.
fn flag(error: &Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(flag) => Some(flag.clone()),
        _ => None,
    }
}

/// `max-body` of it.
fn name(flag: &str) -> &str {
    let name = flag.trim_start_matches('-');
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let end = name.find(|character| !is_part(character));
    &name[..end.unwrap_or(name.len())]
}

/// The command with these flags without their variables.
fn without(command: Command, which: &dyn Fn(&Arg) -> bool) -> Command {
    command.mut_subcommands(|command| {
        command.mut_args(|arg| match which(&arg) {
            true => arg.env(Resettable::<clap::builder::OsStr>::Reset),
            false => arg,
        })
    })
}

/// Whether the variable of a flag is set to anything; `None` if it has none, or nobody has set it.
fn is_set(arg: &Arg) -> Option<bool> {
    let value = std::env::var_os(arg.get_env()?)?;
    Some(value.as_os_str() != OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_flag_is_told_from_how_it_is_shown() {
        for (flag, is) in [
            ("--max-body <SIZE>", "max-body"),
            ("--serial[=<BOOL>]", "serial"),
            ("--h2c", "h2c"),
            ("<FILE>", ""),
        ] {
            assert_eq!(name(flag), is);
        }
    }
}
