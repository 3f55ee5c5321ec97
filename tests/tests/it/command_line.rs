//! The command's version, completions for shells, and man pages.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use headwater_tests::guests::binary;

fn headwater(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(arguments).output()?)
}

fn text(arguments: &[&str]) -> Result<String> {
    let output = headwater(arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_version_names_wasmtime_the_commit_and_the_target() -> Result<()> {
    let version = text(&["--version"])?;
    let lines: Vec<_> = version.lines().collect();
    ensure!(lines.len() == 4, "{version}");
    for (line, words) in lines
        .iter()
        .zip(["headwater 0.", "wasmtime 48.", "commit ", "target "])
    {
        ensure!(line.starts_with(words), "{version}");
    }
    let short = text(&["-V"])?;
    ensure!(short.trim() == lines[0], "{short}");
    Ok(())
}

#[test]
fn each_shell_has_completions_of_commands_and_flags() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&["completions", shell])?;
        for word in ["serve", "max-in-flight", "allow-outgoing"] {
            ensure!(script.contains(word), "{shell}: {word}");
        }
    }
    Ok(())
}

#[test]
fn a_command_has_a_man_page_with_its_flags() -> Result<()> {
    ensure!(text(&["man"])?.contains(".TH headwater 1"));
    let page = text(&["man", "serve"])?;
    ensure!(page.contains("\\-\\-allow\\-outgoing"), "{page}");
    for (page, variable) in [
        (page, "HEADWATER_MAX_BODY"),
        (text(&["man", "wagi"])?, "WAGI_TLS_KEY"),
    ] {
        ensure!(page.contains(&format!("\\fB{variable}\\fR")), "{page}");
    }
    let output = headwater(&["man", "swerve"])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && error.contains("`swerve` is not a command"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_mistyped_command_or_flag_is_answered_with_the_one_that_was_meant() -> Result<()> {
    for (arguments, meant) in [
        (&["swerve", "x.wasm"][..], "'serve'"),
        (
            &["serve", "x.wasm", "--allow-outgoin", "x"],
            "'--allow-outgoing'",
        ),
    ] {
        let output = headwater(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(2) && error.contains(meant),
            "{error}"
        );
        ensure!(!error.contains('\u{1b}'), "{error}");
    }
    Ok(())
}
