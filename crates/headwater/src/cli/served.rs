//! The command line of `headwater check` and `headwater compile`, which have all flags of the
//! commands whose files they take.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::Command;
use super::variables::parse_what_can_be;
use crate::diagnostics::{Diagnostic, Diagnostics};

/// The file that a command is about, and the flags with which it would be served.
#[derive(Debug, Args)]
pub(crate) struct Served {
    /// A modules.toml, a headwater.toml, a component or a module
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Flags of other commands that are on the command line.
    #[arg(skip)]
    pub(super) flags: Vec<Flag>,
}

/// The command that would serve a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Serve,
    Wagi,
}

#[derive(Debug)]
pub(super) struct Flag {
    long: String,
    values: Vec<OsString>,
}

/// The commands that take a file and the flags of the command that serves it.
pub(super) const NAMES: [&str; 2] = ["check", "compile"];

/// The arguments that these commands have of their own.
const OWN: [&str; 4] = ["file", "format", "out", "help"];

/// The heading of flags that only `headwater wagi` has.
const OF_MODULES: &str = "For a modules.toml";

/// Adds the flags of `serve` and `wagi` to these commands. Their variables are left out: those commands
/// read them.
pub(super) fn with_flags(cli: clap::Command) -> clap::Command {
    let mut flags: Vec<clap::Arg> = Vec::new();
    for target in [Target::Serve, Target::Wagi] {
        for flag in target.flags(&cli) {
            if !flags
                .iter()
                .any(|known| known.get_long() == flag.get_long())
            {
                let flag = flag.clone();
                let flag = flag.env(Resettable::<clap::builder::OsStr>::Reset);
                flags.push(match flag.get_help_heading() {
                    Some(_) => flag,
                    None => flag.help_heading(OF_MODULES),
                });
            }
        }
    }
    let flags = flags.into_iter().map(|flag| match flag.get_long() {
        // `headwater wagi` has this short flag.
        Some("env") => flag.short('e'),
        _ => flag,
    });
    let flags: Vec<_> = flags.collect();
    NAMES.into_iter().fold(cli, |cli, name| {
        cli.mut_subcommand(name, |command| command.args(&flags))
    })
}

/// Accepts values of other commands' flags that cannot be read: `as_command` reports them.
pub(super) fn lenient(cli: clap::Command) -> clap::Command {
    let lenient = |arg: clap::Arg| {
        let is_own = OWN.contains(&arg.get_id().as_str());
        match arg.get_action().takes_values() && !is_own {
            true => arg.value_parser(clap::value_parser!(OsString)),
            false => arg,
        }
    };
    NAMES.into_iter().fold(cli, |cli, name| {
        cli.mut_subcommand(name, |command| command.mut_args(lenient))
    })
}

pub(super) fn given(command: &clap::Command, matches: &ArgMatches) -> Vec<Flag> {
    let given = command.get_arguments().filter_map(|argument| {
        let long = argument.get_long()?;
        let id = argument.get_id().as_str();
        if OWN.contains(&id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
            return None;
        }
        Some(Flag {
            long: long.to_owned(),
            values: matches.get_raw(id)?.map(ToOwned::to_owned).collect(),
        })
    });
    given.collect()
}

/// Inserts the flag before each of several `NAME=VALUE` that follow `-e`, as `headwater wagi` takes
/// them. FILE may follow them here.
pub(super) fn spread_variables(words: Vec<OsString>) -> Vec<OsString> {
    if !words
        .get(1)
        .is_some_and(|command| NAMES.iter().any(|name| command == name))
    {
        return words;
    }
    let is_flag = |word: &OsString| word == "-e" || word == "--env";
    let is_variable = |word: &OsString| {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let name = word.to_str().and_then(|word| word.split_once('='));
        name.is_some_and(|(name, _)| name.chars().all(is_part))
    };
    let mut spread: Vec<OsString> = Vec::with_capacity(words.len());
    for word in words {
        let follows = match &spread[..] {
            [.., flag, value] => is_flag(flag) && !is_flag(value),
            _ => false,
        };
        if follows && is_variable(&word) {
            spread.push("--env".into());
        }
        spread.push(word);
    }
    spread
}

// === impl Served ===

impl Served {
    /// Returns the command that would serve the file with these flags. Reports flags that the
    /// command does not have, and errors in its variables.
    pub(crate) fn as_command(&self, target: Target, found: &mut Diagnostics) -> Option<Command> {
        let cli = super::command();
        let name = target.as_str();
        let mut flags = Vec::new();
        for Flag { long, values } in &self.flags {
            if target.has(&cli, long) {
                flags.extend(values.iter().map(|value| flag(long, value)));
            } else {
                let file = self.file.display();
                found.error(Diagnostic::usage(format!(
                    "--{long} is not a flag of `headwater {name}`, which serves `{file}`: leave it out"
                )));
            }
        }
        let file = match target {
            Target::Serve => vec!["--".into(), self.file.clone().into()],
            Target::Wagi => vec![flag("config", self.file.as_os_str())],
        };
        let (cli, errors) = parse_what_can_be(name, flags, &file);
        for error in errors {
            // The usage of that command does not help a user who runs another one.
            let told = error.to_string();
            let told = told.split("\n\n").next().unwrap_or_default();
            found.error(Diagnostic::usage(told.trim_start_matches("error: ")));
        }
        Some(cli?.command)
    }
}

/// Returns a flag with its value in one word. As a second word, a value that begins with a hyphen
/// would be taken for a flag.
fn flag(long: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{long}="));
    word.push(value);
    word
}

// === impl Target ===

impl Target {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Wagi => "wagi",
        }
    }

    fn flags(self, cli: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
        let command = cli.find_subcommand(self.as_str()).into_iter();
        command
            .flat_map(clap::Command::get_arguments)
            .filter(|flag| {
                let long = flag.get_long();
                // FILE stands for `--config`.
                long.is_some_and(|long| long != "config") && !flag.is_hide_set()
            })
    }

    fn has(self, cli: &clap::Command, long: &str) -> bool {
        self.flags(cli).any(|flag| flag.get_long() == Some(long))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Serve, parse, wagi::Wagi};

    fn command(words: &[&str], target: Target) -> (Command, Diagnostics) {
        let words = [&["headwater", "check"], words].concat();
        let Command::Check(check) = parse(words).unwrap().command else {
            panic!("check")
        };
        let mut found = Diagnostics::default();
        let command = check.served.as_command(target, &mut found).unwrap();
        (command, found)
    }

    fn serve(words: &[&str]) -> Serve {
        match command(words, Target::Serve) {
            (Command::Serve(serve), found) if found.errors.is_empty() => *serve,
            other => panic!("{other:?}"),
        }
    }

    fn wagi(words: &[&str]) -> Wagi {
        match command(words, Target::Wagi) {
            (Command::Wagi(wagi), found) if found.errors.is_empty() => *wagi,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_would_be_served_is_said_as_for_serving_it() {
        let serve = serve(&[
            "--env",
            "A=1",
            "x.wasm",
            "--allow-outgoing",
            "http://a",
            "--allow-outgoing=b",
            "--listen",
            "127.0.0.1:1,127.0.0.1:2",
            "--serial",
            "--admin",
            "127.0.0.1:3",
        ]);
        assert_eq!(serve.file, PathBuf::from("x.wasm"));
        assert_eq!(serve.grants.environment, [("A".into(), "1".into())]);
        assert_eq!(serve.grants.allow_outgoing.len(), 2);
        assert_eq!(serve.listen.listen.unwrap().len(), 2);
        assert_eq!(serve.services.pool.serial, Some(true));
        let admin = serve.operation.admin.listen.unwrap().get();
        assert_eq!(admin.to_string(), "127.0.0.1:3");
    }

    #[test]
    fn for_modules_it_has_the_flags_of_wagi() {
        let wagi = wagi(&[
            "-e",
            "A='1'",
            "B=2",
            "m.toml",
            "-l",
            "127.0.0.1:1",
            "--hostname",
            "h",
            "--timeout",
            "5s",
        ]);
        assert_eq!(wagi.source.config, Some(PathBuf::from("m.toml")));
        let variables: Vec<_> = wagi.modules.env.iter().map(|(_, value)| &**value).collect();
        assert_eq!(variables, ["1", "2"]);
        assert_eq!((wagi.listen.port(), &*wagi.modules.hostname), (1, "h"));
        assert!(wagi.limits.timeout.is_some());
    }

    #[test]
    fn a_file_s_name_may_begin_with_a_hyphen() {
        let words = ["--", "-x.toml"];
        assert_eq!(serve(&words).file, PathBuf::from("-x.toml"));
        let modules = wagi(&words).source.config;
        assert_eq!(modules, Some(PathBuf::from("-x.toml")));
    }

    #[test]
    fn all_values_that_cannot_be_read_are_told_and_the_rest_is_read() {
        for (words, target, expected) in [
            (
                &[
                    "h.toml",
                    "--timeout=soon",
                    "--max-uri=2KiB",
                    "--max-body",
                    "x",
                ][..],
                Target::Serve,
                &["'soon' for '--timeout", "'x' for '--max-body"][..],
            ),
            (
                &[
                    "h.toml",
                    "--listen=a,127.0.0.1:1",
                    "--env",
                    "A",
                    "--env",
                    "B",
                    "--max-uri=2KiB",
                ],
                Target::Serve,
                &["'a' for '--listen", "'A' for '--env", "'B' for '--env"],
            ),
            (
                &["m.toml", "--listen=nowhere", "--max-uri=2KiB"],
                Target::Wagi,
                &["'nowhere' for '--listen"],
            ),
        ] {
            let (command, found) = command(words, target);
            let mut told: Vec<_> = found.errors.iter().map(|it| &it.message).collect();
            for expected in expected {
                let at = told.iter().position(|told| told.contains(expected));
                told.remove(at.unwrap_or_else(|| panic!("{expected}: {told:?}")));
            }
            assert!(told.is_empty(), "{told:?}");
            let operation = match command {
                Command::Serve(serve) => serve.operation,
                Command::Wagi(wagi) => wagi.operation,
                other => panic!("{other:?}"),
            };
            assert_eq!(operation.server.max_uri.unwrap().bytes(), 2 << 10);
        }
    }

    #[test]
    fn a_flag_that_the_other_command_has_is_wrong_usage() {
        for (words, target, flag) in [
            (
                ["m.toml", "--min-idle=1"],
                Target::Wagi,
                "--min-idle is not a flag of `headwater wagi`",
            ),
            (
                ["h.toml", "--hostname=h"],
                Target::Serve,
                "--hostname is not a flag of `headwater serve`",
            ),
        ] {
            let (_, found) = command(&words, target);
            let [error] = &found.errors[..] else {
                panic!("{found:?}")
            };
            assert!(error.message.starts_with(flag), "{error}");
        }
    }
}
