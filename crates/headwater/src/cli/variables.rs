//! Environment variables for flags. An empty variable counts as not set, and an error about a
//! variable names it, which clap does not do.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error, FromArgMatches};

use super::{Cli, capabilities, command, hints, optional_values, served};
use crate::diagnostics::{Diagnostic, Kind, Position};

const PREFIX: &str = "HEADWATER_";

/// Reads a command line, which begins with the program's name, and the variables of flags that are
/// not on it. Also returns an error if the command line asks for help.
pub(crate) fn parse<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Result<Cli, Error> {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    // Compose files pass on unset variables as empty ones.
    let command = without(command(), &|arg| is_set(arg) == Some(false));
    let words = served::spread_variables(optional_values::join(&command, words));
    let error = match read(command.clone(), &words) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let (error, words) = meant_as_value(&command, error, words);
    // `check` reports it together with all other errors.
    if is_about_value(&error)
        && let Ok(cli) = read(served::lenient(command.clone()), &words)
    {
        return Ok(cli);
    }
    let mut error = blame(error, &command, &words);
    hints::add(&mut error, &words);
    Err(error)
}

/// Reads as much as possible of a command line of `subcommand`, whose flags are one word each, and
/// returns all errors. Leaves out values of flags and variables that cannot be read. If flags and
/// variables conflict, leaves out all of them.
pub(super) fn parse_what_can_be(
    subcommand: &str,
    mut flags: Vec<OsString>,
    file: &[OsString],
) -> (Option<Cli>, Vec<Error>) {
    let program: [OsString; 2] = ["headwater".into(), subcommand.into()];
    let mut command = without(command(), &|arg| is_set(arg) == Some(false));
    let mut errors = Vec::new();
    loop {
        let words = [&program, &flags[..], file].concat();
        let error = match read(command.clone(), &words) {
            Ok(cli) => return (Some(cli), errors),
            Err(error) => error,
        };
        let value = is_about_value(&error).then(|| (flag(&error), value(&error)));
        let error = blame(error, &command, &words);
        if let Some((Some(flag), Some(value))) = value
            && leave_out(name(&flag), &value, &mut flags, &mut command)
        {
            errors.push(error);
            continue;
        }
        // After another error, this one may be only its consequence.
        if errors.is_empty() {
            errors.push(error);
        }
        let bare = [&program, file].concat();
        return (read(without(command, &|_| true), &bare).ok(), errors);
    }
}

/// Removes a value of a flag, or its variable. Returns true if there was one.
fn leave_out(long: &str, value: &str, flags: &mut Vec<OsString>, command: &mut Command) -> bool {
    let before = flags.len();
    let prefix = format!("--{long}=");
    let word = OsString::from(format!("{prefix}{value}"));
    flags.retain(|flag| *flag != word);
    if flags.len() == before {
        // The value is one of several in a word.
        flags.retain(|flag| !flag.as_encoded_bytes().starts_with(prefix.as_bytes()));
    }
    if flags.len() < before {
        return true;
    }
    let is_it = |arg: &Arg| arg.get_long() == Some(long) && is_set(arg) == Some(true);
    let is_there = command
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .any(is_it);
    *command = without(command.clone(), &is_it);
    is_there
}

/// Corrects an error about an extra word. If a flag before it takes an optional value, and the word
/// after that flag is neither a value nor a file, returns the error about that value.
fn meant_as_value(command: &Command, error: Error, words: Vec<OsString>) -> (Error, Vec<OsString>) {
    let is_word = flag(&error).is_some_and(|word| !word.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument && is_word {
        let joined = optional_values::join_unreadable(command, words.clone());
        if let Err(meant) = read(command.clone(), &joined)
            && is_about_value(&meant)
        {
            return (meant, joined);
        }
    }
    (error, words)
}

fn is_about_value(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    )
}

fn read(mut command: Command, words: &[OsString]) -> Result<Cli, Error> {
    let mut matches = command.try_get_matches_from_mut(words)?;
    let flags = match matches.subcommand() {
        Some((name, matches)) if served::NAMES.contains(&name) => {
            let command = command.find_subcommand(name);
            command.map(|command| served::given(command, matches))
        }
        _ => None,
    };
    let flags = flags.unwrap_or_default();
    let of_capabilities = match matches.subcommand() {
        Some(("serve", serve)) => capabilities::given(serve, &headwater_capabilities::all()),
        _ => Vec::new(),
    };
    let cli = Cli::from_arg_matches_mut(&mut matches);
    let mut cli = cli.map_err(|error| error.format(&mut command))?;
    match &mut cli.command {
        super::Command::Check(check) => check.served.flags = flags,
        super::Command::Compile(compile) => compile.served.flags = flags,
        super::Command::Serve(serve) => serve.capabilities = of_capabilities,
        _ => {}
    }
    Ok(cli)
}

/// Variables that look like those of flags, and that nothing reads: neither this command nor the file,
/// whose own ones are given.
pub(crate) fn unknown(subcommand: &str, of_file: &BTreeSet<String>) -> Vec<Diagnostic> {
    // An empty variable counts as not set.
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = set.filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !of_file.contains(name)).collect();
    names.sort();
    unknown_of(subcommand, names)
}

fn unknown_of(subcommand: &str, names: Vec<String>) -> Vec<Diagnostic> {
    let command = command();
    let known = |name: &str| -> Vec<String> {
        let command = command.find_subcommand(name).into_iter();
        let variables = command.flat_map(Command::get_arguments);
        let variables = variables.filter_map(|arg| arg.get_env()?.to_str());
        let variables = variables.filter_map(|variable| variable.strip_prefix(PREFIX));
        variables.map(ToOwned::to_owned).collect()
    };
    let (here, serve) = (known(subcommand), known("serve"));
    let warnings = names.iter().filter_map(|variable| {
        let name = variable.strip_prefix(PREFIX)?;
        if here.iter().any(|known| known == name) {
            return None;
        }
        let (message, remedy) = match serve.iter().any(|known| known == name) {
            true => (
                format!("`headwater {subcommand}` does not read it, but `headwater serve` does"),
                "unset it".to_owned(),
            ),
            false => (
                "it belongs to no flag".to_owned(),
                match meant(&command, subcommand, name, &here) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => {
                        format!("unset it; `headwater {subcommand} --help` lists all variables")
                    }
                },
            ),
        };
        let place = Position::entry(format!("the environment variable `{variable}`"));
        Some(Diagnostic::new(Kind::UnknownVariable, place, message).with_remedy(remedy))
    });
    warnings.collect()
}

/// Returns the probable meaning of a variable, given without its prefix, that no flag has: a flag
/// of this name whose variable has another name, the flag that sets the address, or a variable with
/// nearly this name.
fn meant(command: &Command, subcommand: &str, name: &str, known: &[String]) -> Option<String> {
    let flag = |long: &str| {
        let command = command.find_subcommand(subcommand)?;
        let flag = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(long));
        Some(match flag?.get_env() {
            Some(variable) => format!("`{}`", variable.display()),
            None => format!("the flag `--{long}`"),
        })
    };
    let long = name.to_ascii_lowercase().replace('_', "-");
    let listen = hints::LISTEN.contains(&&*format!("--{long}"));
    let longer = || {
        known.iter().find(|known| {
            known
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('_'))
        })
    };
    let near = || headwater_config::nearest(name, known.iter().map(String::as_str));
    let variable = || longer().map(String::as_str).or_else(near);
    flag(&long)
        .or_else(|| listen.then(|| flag("listen")).flatten())
        .or_else(|| Some(format!("`{PREFIX}{}`", variable()?)))
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
    // The error stays without the variable if the flag is on the command line.
    let again = read(without(command.clone(), &is_it), words);
    let is_variable = again.map_or_else(|error| self::flag(&error), |_| None) != Some(flag.clone());
    if is_variable {
        let variable = variable.to_string_lossy();
        let both = format!("{variable} (the environment variable for {flag})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(both));
    }
    error
}

/// Returns the flag that an error is about, as clap shows it: `--max-body <SIZE>`.
fn flag(error: &Error) -> Option<String> {
    text(error, ContextKind::InvalidArg)
}

fn value(error: &Error) -> Option<String> {
    text(error, ContextKind::InvalidValue)
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the name of a flag: `max-body` of `--max-body <SIZE>`.
fn name(flag: &str) -> &str {
    let name = flag.trim_start_matches('-');
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let end = name.find(|character| !is_part(character));
    &name[..end.unwrap_or(name.len())]
}

/// Returns the command without the variables of these flags.
fn without(command: Command, which: &dyn Fn(&Arg) -> bool) -> Command {
    command.mut_subcommands(|command| {
        command.mut_args(|arg| match which(&arg) {
            true => arg.env(Resettable::<clap::builder::OsStr>::Reset),
            false => arg,
        })
    })
}

/// Returns true if the variable of a flag has a value, and false if it is empty. `None` if the flag
/// has no variable, or the variable is not set.
fn is_set(arg: &Arg) -> Option<bool> {
    let value = std::env::var_os(arg.get_env()?)?;
    Some(value.as_os_str() != OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_told_with_what_was_meant() {
        let told = |subcommand, name: &str| {
            let warnings = unknown_of(subcommand, vec![name.to_owned()]);
            warnings.first().map(ToString::to_string)
        };
        for (subcommand, name, expected) in [
            (
                "serve",
                "HEADWATER_TIMOUT",
                "did you mean `HEADWATER_TIMEOUT`?",
            ),
            (
                "wagi",
                "HEADWATER_MAX_BODDY",
                "did you mean `HEADWATER_MAX_BODY`?",
            ),
            (
                "wagi",
                "HEADWATER_LISTEN",
                "`headwater wagi` does not read it",
            ),
            (
                "serve",
                "HEADWATER_ADMIN_TOKEN",
                "did you mean `HEADWATER_ADMIN_TOKEN_FILE`?",
            ),
            (
                "serve",
                "HEADWATER_PORT",
                "did you mean `HEADWATER_LISTEN`?",
            ),
            (
                "wagi",
                "HEADWATER_PORT",
                "did you mean the flag `--listen`?",
            ),
            ("serve", "HEADWATER_LOG", "did you mean `RUST_LOG`?"),
            (
                "serve",
                "HEADWATER_COLOUR",
                "`headwater serve --help` lists all variables",
            ),
        ] {
            let told = told(subcommand, name).unwrap();
            assert!(told.contains(expected) && told.contains(name), "{told}");
        }
        for name in [
            "HEADWATER_TIMEOUT",
            "HEADWATER_MAX_BODY",
            "HOME",
            "RUST_LOG",
        ] {
            assert_eq!(told("serve", name), None, "{name}");
        }
    }

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
