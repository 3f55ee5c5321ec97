//! Promise: flags, variables and the file take precedence in the documented order, for each
//! setting.

use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::refusal::{FAILURE, USAGE, refused};
use headwater_tests::settings::{Settings, SettingsFile};
use headwater_tests::{Client, Host};

/// Two services, of which one has its own setting, and a section with it for all.
fn file() -> Result<SettingsFile> {
    Settings::default()
        .component_as("own", "hello", "/own/...", &[])?
        .text("max_instances = 6\n")
        .component_as("silent", "hello", "/silent/...", &[])?
        .text("[defaults]\nmax_instances = 7\nmax_requests_per_instance = 70\n")
        .write()
}

/// Returns the log's text at start about the instances of a service: `up to 6, shared by …`.
fn instances<'a>(said: &'a str, service: &str) -> Result<&'a str> {
    let mut lines = said
        .lines()
        .skip_while(|line| !line.starts_with(&format!("  {service}  ")));
    let line = lines.find(|line| line.trim_start().starts_with("instances"));
    line.with_context(|| format!("nothing is said of `{service}`:\n{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_s_own_goes_before_flag_variable_section_and_default() -> Result<()> {
    let file = file()?;
    let bare = Settings::default()
        .component_as("silent", "hello", "/silent/...", &[])?
        .write()?;
    let variable = ("HEADWATER_MAX_INSTANCES", "8");
    let flag = ["--max-instances", "9"];
    for (path, with_variable, with_flag, most) in [
        (bare.path(), false, false, 100),
        (file.path(), false, false, 7),
        (file.path(), true, false, 8),
        (file.path(), true, true, 9),
    ] {
        let mut serve = Host::serve(&path);
        if with_variable {
            serve = serve.env(variable.0, variable.1);
        }
        if with_flag {
            serve = serve.args(flag);
        }
        let host = serve.start().await?;
        let said = host.stdout().text();
        let silent = instances(&said, "silent")?;
        ensure!(silent.contains(&format!("up to {most},")), "{silent}");
        if path == file.path() {
            let own = instances(&said, "own")?;
            ensure!(own.contains("up to 6,"), "{own}");
            // A setting in one place does not reset others.
            ensure!(own.contains("renewed after 70"), "{own}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_all_services_is_read_again_and_what_is_logged_is_not() -> Result<()> {
    let settings = Settings::default().component_as("it", "hello", "/...", &[])?;
    let file = settings
        .text("[telemetry]\nlog_format = \"json\"\n")
        .write()?;
    let mut host = Host::serve(file.path()).start().await?;
    let text = fs::read_to_string(file.path())?;
    let text = text.replace("json", "text") + "[defaults]\nserial = true\n";
    fs::write(file.path(), text)?;
    host.process().hang_up()?;
    let reloaded = host
        .stderr()
        .wait_for("a line about a reload", |line| line.contains("reloaded: "))
        .await?;
    ensure!(reloaded.starts_with('{'), "{reloaded}");
    let log = host.stderr().text();
    ensure!(
        log.contains("changed settings need a restart and were ignored"),
        "{log}"
    );
    ensure!(log.contains("\"keys\":\"telemetry.log_format\""), "{log}");
    ensure!(Client::new().get(host.url()).await?.status == 200);
    ensure!(host.stop().await?.code() == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_section_names_are_beside_it() -> Result<()> {
    let file = Settings::default()
        .component_as("it", "hello", "/...", &[])?
        .text("[telemetry]\ntrace_file = \"traces\"\naudit_log = \"audit\"\n")
        .text("[access_log]\nto = \"access\"\n")
        .write()?;
    let mut host = Host::serve(file.path()).start().await?;
    ensure!(Client::new().get(host.url()).await?.status == 200);
    ensure!(host.stop().await?.code() == Some(0));
    for (name, said) in [("traces", "resourceSpans"), ("access", "\"status\":200")] {
        let written = fs::read_to_string(file.path().with_file_name(name))?;
        ensure!(written.contains(said), "{name}: {written}");
    }
    ensure!(file.path().with_file_name("audit").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_makes_no_sense_is_named_whether_a_service_needs_it_or_not() -> Result<()> {
    for (section, expected) in [
        (
            "[defaults]\ntime_out = \"5s\"",
            &["line 7", "`timeout`"][..],
        ),
        ("[defaults]\ntimeout = 5", &["line 7", "length of time"]),
        (
            "[defaults]\nproxy = \"ftp://x\"",
            &["line 7", "`[defaults]`", "proxy = …"],
        ),
        (
            "[defaults]\nca = [\"gone.pem\"]",
            &["line 7", "`[defaults]`", "gone.pem"],
        ),
        (
            "[defaults.outgoing]\nh2c = [\"https://a\"]",
            &["line 7", "`[defaults]`", "https://a"],
        ),
        (
            "[defaults]\nserial = true\nmax_concurrent_per_instance = 2",
            &["line 8", "`[defaults]`", "leave"],
        ),
        (
            "[telemetry]\nlog = \"headwater=loud\"",
            &["line 7", "`[telemetry]`", "headwater=loud", "debug"],
        ),
        (
            "[telemetry]\ntrace_tree = \"sometimes\"",
            &["line 7", "`auto`"],
        ),
    ] {
        let file = Settings::default()
            .component_as("it", "hello", "/...", &[])?
            .text(&format!("{section}\n"))
            .write()?;
        for command in ["check", "serve"] {
            let finished = Host::headwater().arg(command).arg(file.path());
            let finished = finished.run_to_end().await?;
            refused(&finished, FAILURE, expected).with_context(|| section.to_owned())?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_or_variable_that_makes_no_sense_is_wrong_usage() -> Result<()> {
    let hello = guest("hello")?;
    for flags in [
        &["--serial", "--max-concurrent-per-instance", "2"][..],
        &["--h2c", "https://a"],
        &["--proxy", "ftp://x"],
        &["--max-queue", "0"],
        &["--no-proxy", "a.example"],
    ] {
        let finished = Host::serve(&hello).args(flags).run_to_end().await?;
        refused(&finished, USAGE, &flags[..1])?;
    }
    let wrong = Host::serve(&hello).env("HEADWATER_MAX_QUEUE", "0");
    refused(
        &wrong.run_to_end().await?,
        USAGE,
        &["HEADWATER_MAX_QUEUE", "--max-queue", "1 or more"],
    )?;
    let wrong = Host::headwater().arg("check").arg(&hello);
    let wrong = wrong.env("RUST_LOG", "debg").run_to_end().await?;
    refused(&wrong, USAGE, &["RUST_LOG", "'debg' is not a level"])?;
    // The error names the flag, whatever the variable says.
    let flag = Host::serve(&hello).args(["--max-queue", "-1"]);
    let finished = flag.env("HEADWATER_MAX_QUEUE", "0").run_to_end().await?;
    ensure!(
        !finished.stderr.contains("HEADWATER_MAX_QUEUE"),
        "{}",
        finished.stderr
    );
    // Empty variables count as not set.
    let empty = Host::serve(&hello).env("HEADWATER_MAX_URI", "");
    let empty = empty.env("HEADWATER_WATCH", "").env("RUST_LOG", "");
    empty.start().await?;
    // `--serial=false` does not conflict with the other flag.
    let no = ["--serial=false", "--max-concurrent-per-instance", "2"];
    Host::serve(&hello).args(no).start().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_wagi_have_what_is_for_modules_and_their_own_keys_go_before() -> Result<()> {
    let module = guest("wagi-rust")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("modules.toml");
    fs::write(
        &file,
        format!(
            "[[module]]\nroute = \"/own\"\nmodule = {module:?}\ntimeout = \"6s\"\n\
             [[module]]\nroute = \"/silent\"\nmodule = {module:?}\n"
        ),
    )?;
    let check = |flags: &'static [&'static str]| {
        let check = Host::headwater()
            .arg("check")
            .arg(&file)
            .args(flags.to_vec());
        check.env("HEADWATER_TIMEOUT", "8s").run_to_end()
    };
    for (flags, silent) in [(&[][..], "8000 ms"), (&["--timeout", "9s"], "9000 ms")] {
        let said = check(flags).await?.stdout;
        let limits: Vec<_> = said
            .lines()
            .filter(|line| line.trim_start().starts_with("limits"))
            .collect();
        let [own, other] = &limits[..] else {
            anyhow::bail!("two modules: {said}");
        };
        ensure!(own.contains("6000 ms") && other.contains(silent), "{said}");
    }
    let wagi = Host::wagi(&file).args(["--proxy", "ftp://x"]);
    refused(
        &wagi.run_to_end().await?,
        USAGE,
        &["--proxy", "not name a proxy"],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_value_of_a_flag_that_needs_none_may_be_the_next_word_and_a_file_is_no_value()
-> Result<()> {
    let hello = guest("hello")?;
    let hello = hello.to_str().context("no UTF-8")?;
    let listen = ["--listen", "127.0.0.1:0"];
    for (arguments, is_combined) in [
        (
            vec!["--admin", "127.0.0.1:0", "--access-log", "combined", hello],
            true,
        ),
        (
            vec!["--access-log=combined", "--admin=127.0.0.1:0", hello],
            true,
        ),
        (
            vec![hello, "--admin", "127.0.0.1:0", "--access-log", "json"],
            false,
        ),
        // FILE follows a flag with an optional value.
        (vec!["--admin", "127.0.0.1:0", "--access-log", hello], false),
        (
            vec![
                "--admin=127.0.0.1:0",
                "--access-log",
                "--serial",
                "false",
                hello,
            ],
            false,
        ),
    ] {
        let serve = Host::headwater().arg("serve").args(arguments.clone());
        let mut host = serve.args(listen).start().await?;
        let admin = host.stdout().text();
        ensure!(
            admin.contains("Admin on http://127.0.0.1:"),
            "{arguments:?}: {admin}"
        );
        ensure!(Client::new().get(host.url()).await?.status == 200);
        ensure!(host.stop().await?.code() == Some(0));
        let log = host.stderr().text();
        let combined = log
            .lines()
            .filter(|line| line.contains("\"GET / HTTP/1.1\" 200"));
        let json = log
            .lines()
            .filter(|line| line.contains("headwater::access"));
        let counts = (combined.count(), json.count());
        let expected = if is_combined { (1, 0) } else { (0, 1) };
        ensure!(counts == expected, "{arguments:?}: {log}");
    }
    Ok(())
}
