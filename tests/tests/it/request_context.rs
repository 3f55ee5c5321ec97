//! Promise: links of a chain set named values for a request, which those behind them read if they were
//! granted. No client can forge one, and no request ever sees another's.

use std::fs;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use headwater_tests::client::Answer;
use headwater_tests::guests::guest;
use headwater_tests::settings::Settings;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::{Admin, Client, Host, Services, Upstream};
use http::Request;
use tempfile::TempDir;

/// A middleware `gate` that may set these values, with more keys of its context, and `context` behind it with
/// these.
fn chain(of_gate: &str, of_service: &str) -> Result<Settings> {
    let settings = gate(Settings::default(), of_gate)?;
    let settings = settings.component("context", "/...", &[])?;
    Ok(settings.text(&format!(
        "middleware = [\"gate\"]\ncontext = {{ {of_service} }}\n"
    )))
}

fn gate(settings: Settings, context: &str) -> Result<Settings> {
    let file = guest("gate")?;
    Ok(settings.text(&format!(
        "[[middleware]]\nname = \"gate\"\ncomponent = {file:?}\ncontext = {{ {context} }}\n"
    )))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_reads_what_a_link_set_and_no_more_than_it_was_granted() -> Result<()> {
    let settings = chain(
        "set = [\"user\", \"flag-*\"]",
        "get = [\"user\", \"flag-*\"], set = [\"user\"]",
    )?
    .component_as("bare", "context", "/bare/...", &[])?
    .text("middleware = [\"gate\"]\n");
    let services = Services::start(settings, &[]).await?;
    for (path, said) in [
        ("/?set=user:ann", "user=ann\n"),
        ("/?set=flag-beta:1", "flag-beta=1\n"),
        ("/", "\n"),
        ("/get?name=user&set=user:ann", "\"ann\"\n"),
        ("/get?name=user", "none\n"),
        ("/get?name=tenant", "denied\n"),
        ("/get?name=User", "invalid-name\n"),
        ("/set?name=user&value=bob&set=user:ann", "user=bob\n"),
        ("/set?name=user&set=user:ann", "\n"),
        ("/set?name=user&value=a%0Ab", "invalid-value\n"),
        ("/set?name=flag-x&value=1", "denied\n"),
        ("/bare/?set=user:ann", "denied\n"),
        ("/bare/get?set=user:ann", "denied\n"),
        ("/bare/set?name=user&value=x", "denied\n"),
    ] {
        let answer = services.get(path).await?;
        ensure!(
            answer.status == 200 && answer.text() == said,
            "{path}: {answer:?}"
        );
    }
    let refused = services.get("/?set=tenant:acme").await?;
    ensure!(
        refused.status == 500 && refused.text().contains("denied"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_bounded_in_number_and_in_size() -> Result<()> {
    let settings = chain("set = [\"user\"]", "set = [\"n*\"]")?;
    let services = Services::start(settings, &[]).await?;
    for (path, said) in [
        ("/fill?n=32", "all\n"),
        ("/fill?n=33", "32: too-many\n"),
        ("/fill?n=31&set=user:ann", "all\n"),
        ("/fill?n=32&set=user:ann", "31: too-many\n"),
        ("/fill?n=3&size=4096", "all\n"),
        ("/fill?n=1&size=4097", "0: too-large\n"),
        ("/fill?n=4&size=4096", "3: too-large\n"),
    ] {
        let answer = services.ok(path).await?;
        ensure!(answer.text() == said, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_each_sees_its_own_value() -> Result<()> {
    const CLIENTS: usize = 32;
    const ROUNDS: usize = 10;
    let settings = chain("set = [\"user\"]", "get = [\"user\"]")?;
    let services = Services::start(settings, &[]).await?;
    let client = async |client: usize| {
        for round in 0..ROUNDS {
            let user = format!("u-{client}-{round}");
            let path = format!("/later?wait=5&set=user:{user}");
            let answer = services.ok(&path).await?;
            ensure!(answer.text() == format!("{user:?}\n"), "{user}: {answer:?}");
        }
        Ok(())
    };
    try_join_all((0..CLIENTS).map(client)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_request_is_unknown_or_in_doubt_is_an_error_and_gets_no_value() -> Result<()> {
    let settings = chain("set = [\"user\"]", "get = [\"user\"]")?.text("max_instances = 1\n");
    let services = Services::start(settings, &[]).await?;
    // While the component is instantiated, there is no request.
    let early = services.ok("/early?set=user:ann").await?;
    ensure!(early.text() == "unknown-request\n", "{early:?}");
    // The task of one request makes a call that another has left to it and waits for.
    let give = services.ok("/give?set=user:ann");
    let take = services.ok("/take?set=user:bob");
    let (given, taken) = futures::future::try_join(give, take).await?;
    ensure!(taken.text() == "taken\n", "{taken:?}");
    ensure!(given.text() == "unknown-request\n", "{given:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_has_values_as_variables_and_no_client_can_make_one() -> Result<()> {
    let settings = gate(Settings::default(), "set = [\"user-id\", \"stage\"]")?
        .module("wagi-rust", "/w/...")?
        .text(
            "middleware = [\"gate\"]\nenvironment = { STAGE = \"test\" }\n\
             context = { get = [\"user-id\"], variables = { REMOTE_USER = \"user-id\", STAGE = \"stage\" } }\n",
        );
    let services = Services::start(settings, &[]).await?;
    let url = services.host().url();
    let forged = async |path: &str| -> Result<Answer> {
        let request = Request::get(format!("{url}/w/x{path}"))
            .header("headwater-context-user-id", "eve")
            .header("headwater_context_user_id", "eve")
            .header("remote-user", "eve")
            .body(headwater_tests::client::empty())?;
        Client::new().send(request).await
    };
    for (path, lines) in [
        (
            "?set=user-id:ann",
            &[
                "HEADWATER_CONTEXT_USER_ID=ann",
                "REMOTE_USER=ann",
                "STAGE=test",
            ][..],
        ),
        ("?set=stage:debug", &["STAGE=debug", "REMOTE_USER="]),
        ("", &["STAGE=test", "REMOTE_USER="]),
    ] {
        let answer = forged(path).await?;
        let text = answer.text();
        for line in lines {
            ensure!(
                text.lines().any(|found| found == *line),
                "{path}: {line}: {text}"
            );
        }
        let values = text
            .lines()
            .filter(|line| line.starts_with("HEADWATER_CONTEXT_"));
        let expected = lines
            .iter()
            .filter(|line| line.starts_with("HEADWATER_CONTEXT_"));
        ensure!(values.count() == expected.count(), "{path}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_copied_to_outgoing_requests_and_spans_by_name() -> Result<()> {
    let upstream = Upstream::start().await?;
    let folder = TempDir::new()?;
    let path = folder.path().join("trace.jsonl");
    let settings = chain(
        "set = [\"user\", \"token\"], spans = [\"user\"]",
        "headers = { x-user = \"user\" }",
    )?
    .text(&format!("allow_outgoing = [{:?}]\n", upstream.url()))
    .write()?;
    let host = Host::serve(settings.path()).arg("--trace-file").arg(&path);
    let mut host = host.start().await?;
    let call = |set: &str| format!("{}/call?to={}{set}", host.url(), upstream.url());
    for set in ["&set=user:ann", "&set=token:s3cret", ""] {
        let answer = Client::new().get(&call(set)).await?;
        ensure!(answer.text() == "called\n", "{answer:?}");
    }
    let calls = upstream.calls();
    let users: Vec<_> = calls
        .iter()
        .map(|call| call.headers.get("x-user"))
        .collect();
    let users: Vec<_> = users
        .into_iter()
        .map(|user| user.and_then(|it| it.to_str().ok()))
        .collect();
    ensure!(users == [Some("ann"), None, None], "{users:?}");
    host.stop().await?;
    let trace = TraceFile::read(&path)?;
    let shown = trace
        .spans()
        .filter(|span| span.attribute("headwater.context.user") == Some("ann"));
    let mut shown: Vec<_> = shown.map(|span| span.name.as_str()).collect();
    shown.sort_unstable();
    ensure!(shown == ["GET", "GET /..."], "{shown:?}");
    ensure!(!fs::read_to_string(&path)?.contains("headwater.context.token"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_fails_after_it_set_a_value_has_touched_the_request() -> Result<()> {
    let settings = gate(Settings::default(), "set = [\"user\"]")?
        .text("fail = \"open\"\n")
        .component("context", "/...", &[])?
        .text("middleware = [\"gate\"]\ncontext = { get = [\"user\"] }\n");
    let services = Services::start(settings, &[]).await?;
    let open = services.ok("/?gate=trap").await?;
    ensure!(open.text() == "\n", "{open:?}");
    let closed = services.get("/?gate=trap&set=user:ann").await?;
    ensure!(closed.is_failure(), "{closed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_who_may_read_and_set_what() -> Result<()> {
    let settings = chain(
        "set = [\"user\"]",
        "get = [\"user\"], headers = { x-user = \"user\" }",
    )?;
    let settings = settings.write()?;
    let (host, admin) = Admin::start(Host::serve(settings.path())).await?;
    let view = admin.json("/services").await?;
    let of = |list: &str| view[list][0]["grants"]["context"].clone();
    ensure!(
        of("middlewares") == serde_json::json!(["set user"]),
        "{view}"
    );
    ensure!(
        of("services") == serde_json::json!(["get user", "x-user: user"]),
        "{view}"
    );
    let banner = host.stdout().text();
    ensure!(
        banner.contains("context      get user, x-user: user"),
        "{banner}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_has_no_effect_is_refused_with_its_place() -> Result<()> {
    for (module, context, said) in [
        (
            false,
            "variables = { STAGE = \"stage\" }",
            "it is for WAGI modules",
        ),
        (true, "set = [\"user\"]", "cannot set context values"),
        (
            true,
            "variables = { PATH_INFO = \"user\" }",
            "only the host sets it",
        ),
        (
            true,
            "variables = { HTTP_X = \"user\" }",
            "a client can set",
        ),
        (
            false,
            "get = [\"User\"]",
            "is not the name of a context value",
        ),
    ] {
        let settings = Settings::default();
        let settings = match module {
            true => settings.module("wagi-wat", "/...")?,
            false => settings.component("hello", "/...", &[])?,
        };
        let site = settings
            .text(&format!("context = {{ {context} }}\n"))
            .write()?;
        let ended = Host::headwater().arg("check").arg(site.path());
        let told = ended.run_to_end().await?;
        let told = told.stderr;
        ensure!(
            told.contains(said) && told.contains("line 6"),
            "{context}: {told}"
        );
    }
    Ok(())
}
