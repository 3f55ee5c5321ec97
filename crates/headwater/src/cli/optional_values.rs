//! Flags whose value may be left out, such as `--admin` and `--access-log`.
//!
//! clap takes the word after such a flag either always or only after `=`. This module takes it if
//! it can be read as the value, so that `--admin 127.0.0.1:9000 x.wasm` and `--admin x.wasm` both
//! work. A FILE whose name looks like a value is written `./json`.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, Command};

/// Joins each such flag with its value by `=`, which clap requires.
pub(super) fn join(cli: &Command, words: Vec<OsString>) -> Vec<OsString> {
    join_if(cli, words, can_be_read)
}

/// Joins each such flag with the next word if that is not a file, although it cannot be read as the
/// value. For a command line with one FILE too many, where a word was meant as a value.
pub(super) fn join_unreadable(cli: &Command, words: Vec<OsString>) -> Vec<OsString> {
    join_if(cli, words, |_, _, value| {
        !is_flag(value) && !Path::new(value).exists()
    })
}

fn join_if(
    cli: &Command,
    words: Vec<OsString>,
    is_value: impl Fn(&Arg, &OsString, &OsString) -> bool,
) -> Vec<OsString> {
    let Some(command) = words.get(1).and_then(|name| cli.find_subcommand(name)) else {
        return words;
    };
    let mut joined = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            joined.push(word);
            joined.extend(words);
            break;
        }
        let flag = flag(command, &word);
        let value = flag.and_then(|flag| words.next_if(|value| is_value(flag, &word, value)));
        joined.push(match value {
            Some(value) => with_value(&word, &value),
            None => word,
        });
    }
    joined
}

/// Returns the flag that a word names, if its value is optional.
fn flag<'a>(command: &'a Command, word: &OsString) -> Option<&'a Arg> {
    let long = word.to_str()?.strip_prefix("--")?;
    let flag = command
        .get_arguments()
        .find(|flag| flag.get_long() == Some(long))?;
    let values = flag.get_num_args()?;
    (flag.is_require_equals_set() && values.min_values() == 0).then_some(flag)
}

fn can_be_read(flag: &Arg, word: &OsString, value: &OsString) -> bool {
    let alone = Command::new("flag").no_binary_name(true).arg(flag.clone());
    !is_flag(value)
        && alone
            .try_get_matches_from([with_value(word, value)])
            .is_ok()
}

fn is_flag(word: &OsString) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

fn with_value(word: &OsString, value: &OsString) -> OsString {
    let mut joined = word.clone();
    joined.push("=");
    joined.push(value);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_word_is_the_value_if_it_can_be_read_as_one() {
        let cli = crate::cli::command();
        let join = |text: &str| {
            let words = text.split(' ').map(OsString::from).collect();
            let joined = super::join(&cli, words);
            joined
                .join(std::ffi::OsStr::new(" "))
                .into_string()
                .unwrap()
        };
        for (words, expected) in [
            (
                "serve --admin 127.0.0.1:1 x.wasm",
                "serve --admin=127.0.0.1:1 x.wasm",
            ),
            ("serve --admin x.wasm", "serve --admin x.wasm"),
            ("serve --admin", "serve --admin"),
            (
                "serve x.wasm --access-log combined",
                "serve x.wasm --access-log=combined",
            ),
            ("serve --access-log x.wasm", "serve --access-log x.wasm"),
            ("serve --access-log ./json", "serve --access-log ./json"),
            (
                "serve --access-log --admin x",
                "serve --access-log --admin x",
            ),
            (
                "serve --access-log=json combined",
                "serve --access-log=json combined",
            ),
            ("serve --watch false x", "serve --watch=false x"),
            (
                "wagi -c m.toml --access-log json",
                "wagi -c m.toml --access-log=json",
            ),
            ("check --serial true x", "check --serial=true x"),
            // File names and the values of other flags stay as they are.
            (
                "serve -- --admin 127.0.0.1:1",
                "serve -- --admin 127.0.0.1:1",
            ),
            ("serve --log info x", "serve --log info x"),
            ("schema --admin 127.0.0.1:1", "schema --admin 127.0.0.1:1"),
        ] {
            let told = join(&format!("headwater {words}"));
            assert_eq!(told, format!("headwater {expected}"));
        }
        assert_eq!(join("headwater"), "headwater");
    }

    #[test]
    fn a_word_too_many_that_was_meant_as_a_value_is_told_as_one() {
        for (words, expected) in [
            ("--admin localhost:1 x.wasm", "'localhost:1' for '--admin"),
            ("x.wasm --admin localhost:1", "'localhost:1' for '--admin"),
            ("--watch no x.wasm", "'no' for '--watch"),
            ("--access-log common x.wasm", "'common' for '--access-log"),
            ("--watch /dev/null x.wasm", "'x.wasm'"),
            ("x.wasm --serial y.wasm --bogus", "'y.wasm' for '--serial"),
        ] {
            let words = ["headwater", "serve"].into_iter().chain(words.split(' '));
            let told = crate::cli::parse(words).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
