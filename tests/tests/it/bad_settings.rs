//! Promise: a bad headwater.toml gets one message that names the place and the remedy.

use anyhow::{Result, ensure};
use headwater_tests::Host;
use headwater_tests::guests::guest;
use headwater_tests::refusal::{FAILURE, refused, refuses};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_named_with_its_line() -> Result<()> {
    let broken = b"# comment\n[[service]]\nname = \"x\nroute = \"/\"\n";
    refuses(broken, "broken.toml", &["broken.toml", "3"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_named_with_its_line_and_what_may_stand_there() -> Result<()> {
    for (key, meant) in [
        ("compnent", "did you mean `component`?"),
        ("Component", "did you mean `component`?"),
        ("wasm", "did you mean `component`?"),
    ] {
        // The missing guest is not reported beside it.
        let unknown = format!("[[service]]\nname = \"x\"\nroute = \"/\"\n{key} = \"x.wasm\"\n");
        let expected = ["unknown.toml", "line 4", key, meant];
        refuses(unknown, "unknown.toml", &expected).await?;
    }
    let unknown = b"[[service]]\nnam = \"x\"\nroute = \"/\"\ncomponent = \"x.wasm\"\n";
    refuses(unknown, "unknown.toml", &["line 2", "did you mean `name`?"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_component_is_named() -> Result<()> {
    let missing = b"[[service]]\nname = \"x\"\nroute = \"/\"\ncomponent = \"gone.wasm\"\n";
    refuses(missing, "missing.toml", &["gone.wasm"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_route_for_two_services_is_named() -> Result<()> {
    let hello = guest("hello")?;
    let twice = format!(
        "[[service]]\nname = \"a\"\nroute = \"/x\"\ncomponent = {hello:?}\n\
         [[service]]\nname = \"b\"\nroute = \"/x\"\ncomponent = {hello:?}\n"
    );
    refuses(twice, "twice.toml", &["twice.toml", "/x"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_service_with_several_requests_in_an_instance_is_named() -> Result<()> {
    let hello = guest("hello")?;
    let both = format!(
        "[[service]]\nname = \"x\"\nroute = \"/\"\ncomponent = {hello:?}\n\
         serial = true\nmax_concurrent_per_instance = 4\n"
    );
    refuses(
        both,
        "both.toml",
        &["both.toml", "serial", "max_concurrent"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bad_hosts_of_a_route_are_named() -> Result<()> {
    let text = "[[answer]]\nroute = { path = \"/\", hosts = [\"a b\", \"c.example\", \"d e\"] }\n";
    let folder = TempDir::new()?;
    let path = folder.path().join("hosts.toml");
    std::fs::write(&path, text)?;
    let ended = Host::serve(&path).run_to_end().await?;
    ensure!(ended.stderr.matches("error: ").count() == 2, "{ended:?}");
    for (column, host) in [(32, "a b"), (52, "d e")] {
        let told = format!("column {column}: \"{host}\"");
        ensure!(ended.stderr.contains(&told), "{told}: {}", ended.stderr);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_variables_and_outputs_are_named_with_the_variable_and_the_remedy() -> Result<()> {
    let hello = guest("hello")?;
    for (variable, message, more) in [
        (
            "HEADWATER_CA",
            "`/none/it` cannot be used for TLS: it cannot be read (",
            &[][..],
        ),
        (
            "HEADWATER_TLS_CERT",
            "the certificates in `/none/it` cannot be read: No such file",
            &["--tls-key=/none/key"],
        ),
    ] {
        let host = Host::serve(&hello).args(more.iter().copied());
        let ended = host.env(variable, "/none/it").run_to_end().await?;
        let expected = [variable, message, "check the path and its permissions"];
        refused(&ended, FAILURE, &expected)?;
    }
    let log = ["--access-log-to", "/none/log"];
    let expected =
        "--access-log-to: `/none/log` cannot be written: there is no directory `/none`: create it";
    let served = Host::serve(&hello).args(log).run_to_end().await?;
    refused(&served, FAILURE, &[expected])?;
    let checked = Host::headwater().arg("check").arg(&hello).args(log);
    refused(&checked.run_to_end().await?, FAILURE, &[expected])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_service() -> Result<()> {
    refuses(b"# nothing yet\n", "none.toml", &["none.toml", "service"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_makes_no_sense_is_named_with_its_line() -> Result<()> {
    let hello = guest("hello")?;
    for (key, value) in [
        ("memory", "\"64MB\""),
        ("memory", "0"),
        ("timeout", "\"soon\""),
        ("idle_timeout", "30"),
        ("max_requests_per_instance", "\"9-1\""),
    ] {
        let settings = format!(
            "[[service]]\nname = \"x\"\nroute = \"/\"\ncomponent = {hello:?}\n{key} = {value}\n"
        );
        let expected = ["wrong.toml", "line 5", key, value];
        refuses(settings, "wrong.toml", &expected).await?;
    }
    Ok(())
}
