//! Promise: a bad headwater.toml gets one message that names the place and the remedy.

use anyhow::Result;
use headwater_tests::guests::guest;
use headwater_tests::refusal::refuses;

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
