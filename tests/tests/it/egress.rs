//! Promise: a guest can call only allowed hosts, and sees when a call fails.

use anyhow::{Context, Result, ensure};
use headwater_tests::guests::guest;
use headwater_tests::modules::Modules;
use headwater_tests::settings::Settings;
use headwater_tests::trace_file::TraceFile;
use headwater_tests::upstream::{Behaviour, nobody};
use headwater_tests::{Answer, Client, Host, Upstream};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_no_call_leaves() -> Result<()> {
    for name in ["fanout", "outgoing-p2"] {
        let upstream = Upstream::start().await?;
        let host = Host::serve(guest(name)?).start().await?;
        let answer = call(&host, &upstream.url()).await?;
        ensure!(answer.status == 502, "{name}: {}", answer.status);
        ensure!(
            !answer.body.is_empty(),
            "{name}: the guest got no error text"
        );
        ensure!(
            upstream.calls().is_empty(),
            "{name}: {:?}",
            upstream.calls()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_one_port_is_none_for_another() -> Result<()> {
    let (allowed, other) = (Upstream::start().await?, Upstream::start().await?);
    let host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", &allowed.url()])
        .start()
        .await?;
    ensure!(call(&host, &other.url()).await?.status == 502);
    ensure!(other.calls().is_empty());
    ensure!(call(&host, &allowed.url()).await?.status == 200);
    ensure!(allowed.calls().len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_all_is_for_the_internet_and_not_for_this_machine_and_is_said_aloud()
-> Result<()> {
    let folder = TempDir::new()?;
    let audit = folder.path().join("audit.jsonl");
    let upstream = Upstream::start().await?;
    let url = upstream.url();
    let by_name = url.replace("127.0.0.1", "localhost");
    let mut host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", "*", "--audit-log"])
        .arg(&audit)
        .start()
        .await?;
    for to in [&url, &by_name] {
        let answer = call(&host, to).await?;
        ensure!(answer.status == 502, "{to}: {}", answer.status);
        let told = String::from_utf8_lossy(&answer.body);
        ensure!(told.contains("DestinationIpProhibited"), "{to}: {told}");
    }
    ensure!(upstream.calls().is_empty(), "{:?}", upstream.calls());
    let said = host.stdout().text();
    ensure!(
        said.contains("WARNING") && said.contains("any public address"),
        "{said}"
    );
    host.stop().await?;

    let lines = std::fs::read_to_string(&audit)?;
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(lines.len() == 2, "{lines:?}");
    for (line, to) in lines.iter().zip([url, by_name]) {
        ensure!(line["event"] == "denied", "{line}");
        ensure!(line["service"] == "fanout", "{line}");
        ensure!(line["destination"] == to, "{line}");
        ensure!(
            line["rule"]
                .as_str()
                .is_some_and(|rule| rule.contains("loopback")),
            "{line}"
        );
        ensure!(line["request_id"].is_string(), "{line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_needs_a_grant_beside_that_of_its_address() -> Result<()> {
    let upstream = Upstream::start().await?;
    let by_address = upstream.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let start = async |grants: &[&str]| {
        let grants = grants.iter().flat_map(|grant| ["--allow-outgoing", grant]);
        Host::serve(guest("fanout")?).args(grants).start().await
    };
    for grants in [&[by_name.as_str()][..], &[by_address.as_str()]] {
        let host = start(grants).await?;
        ensure!(call(&host, &by_name).await?.status == 502);
        let log = host.stderr();
        log.wait_for("the flag", |line| line.contains("--allow-outgoing"))
            .await?;
    }
    ensure!(upstream.calls().is_empty(), "{:?}", upstream.calls());
    for grant in [by_address.as_str(), "127.0.0.0/8"] {
        let host = start(&[&by_name, grant]).await?;
        ensure!(call(&host, &by_name).await?.status == 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_every_address_is_said_aloud_at_start() -> Result<()> {
    let upstream = Upstream::start().await?;
    let host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", "0.0.0.0/0"])
        .start()
        .await?;
    ensure!(call(&host, &upstream.url()).await?.status == 200);
    let said = host.stdout().text();
    ensure!(
        said.contains("WARNING") && said.contains("any address"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_the_line_of_the_file_to_write_and_that_line_helps() -> Result<()> {
    let upstream = Upstream::start().await?;
    let url = upstream.url();
    let file = |line: &str| {
        let settings = Settings::default().component("fanout", "/...", &[])?;
        settings.text(line).write()
    };
    let written = file("allow_outgoing = [\"https://a.example\"]\n")?;
    let host = Host::serve(written.path())
        .arg("--access-log")
        .start()
        .await?;
    ensure!(call(&host, &url).await?.status == 502);
    let denied = host
        .stderr()
        .wait_for("the denial", |line| line.contains("was denied"))
        .await?;
    let line = format!("allow_outgoing = [\"https://a.example\", \"{url}\"]");
    let path = written.path();
    for part in [&line, "the service `fanout`", &path.display().to_string()] {
        ensure!(denied.contains(part), "no {part:?} in: {denied}");
    }
    ensure!(!denied.contains("--allow-outgoing"), "{denied}");
    // The request's access record counts it.
    let record = host
        .stderr()
        .wait_for("the record", |line| line.contains("headwater::access"))
        .await?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    ensure!(record["outgoing_denied"] == 1, "{record}");
    ensure!(record["outgoing_requests"] == 0, "{record}");
    ensure!(upstream.calls().is_empty(), "{:?}", upstream.calls());

    let written = file(&format!("{line}\n"))?;
    let host = Host::serve(written.path()).start().await?;
    ensure!(call(&host, &url).await?.status == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_the_flag_or_the_modules_toml_where_the_guest_is_given_by_these()
-> Result<()> {
    let upstream = Upstream::start().await?;
    let url = upstream.url();
    let host = Host::serve(guest("fanout")?).start().await?;
    ensure!(call(&host, &url).await?.status == 502);
    let flag = format!("--allow-outgoing {url}");
    let log = host.stderr();
    log.wait_for("the flag", |line| line.contains(&flag))
        .await?;

    let modules = Modules::new()?.guest("/...", "wagi-outgoing", "")?;
    let path = modules.write()?;
    let host = Host::wagi(&path).start().await?;
    call(&host, &url).await?;
    let denied = host
        .stderr()
        .wait_for("the denial", |line| line.contains("was denied"))
        .await?;
    for part in [
        &format!("\"{url}\" in the list `allowed_hosts`"),
        "the module `wagi-outgoing`",
        &path.display().to_string(),
    ] {
        ensure!(denied.contains(part), "no {part:?} in: {denied}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_explains_a_denial_and_a_failure_where_that_is_asked_for_and_not_otherwise()
-> Result<()> {
    let settings = || {
        Settings::default()
            .component("fanout", "/fanout/...", &[])?
            .component("faulty", "/...", &[])?
            .write()
    };
    let settings = settings()?;
    let explains = async |arguments: &[&str]| {
        let host = Host::serve(settings.path()).args(arguments);
        let host = host.start().await?;
        let get = async |path: &str| Client::new().get(&format!("{}{path}", host.url())).await;
        let denied = get("/fanout/?to=http://a.example&k=1&wait=0").await?;
        let failed = get("/trap").await?;
        anyhow::Ok((denied, failed))
    };
    let field = |answer: &Answer| {
        let field = answer.headers.get("headwater-explain");
        field.and_then(|field| Some(field.to_str().ok()?.to_owned()))
    };
    let (denied, failed) = explains(&[]).await?;
    for answer in [&denied, &failed] {
        ensure!(field(answer).is_none(), "{answer:?}");
    }
    ensure!(
        failed.status == 500 && !failed.text().contains("wasm"),
        "{failed:?}"
    );

    let (denied, failed) = explains(&["--explain"]).await?;
    let why = field(&denied).context("no explanation")?;
    ensure!(denied.status == 502, "{denied:?}");
    ensure!(
        why.contains("allow_outgoing = [\"http://a.example\"]") && why.contains("`fanout`"),
        "{why}"
    );
    let why = field(&failed).context("no explanation")?;
    ensure!(failed.status == 500 && why.contains("wasm"), "{why}");
    ensure!(failed.text().contains("wasm"), "{failed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_and_a_reset_call_are_errors_for_the_guest_and_spans_for_us() -> Result<()> {
    let reset = Upstream::with(Behaviour::Reset).await?;
    for to in [nobody().await?, reset.url()] {
        let folder = TempDir::new()?;
        let path = folder.path().join("trace.jsonl");
        let mut host = Host::serve(guest("fanout")?)
            .args(["--allow-outgoing", &to])
            .arg("--trace-file")
            .arg(&path)
            .start()
            .await?;
        let answer = call(&host, &to).await?;
        ensure!(answer.status == 502, "{}", answer.status);
        ensure!(!answer.body.is_empty());
        host.stop().await?;
        let trace = TraceFile::read(&path)?;
        let failed: Vec<_> = trace.clients().collect();
        ensure!(
            failed.len() == 1 && failed[0].error && failed[0].attribute("error.type").is_some(),
            "{failed:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_under_its_deadline_does_not_wait_for_an_upstream_that_never_answers() -> Result<()>
{
    let held = Upstream::with(Behaviour::Hold).await?;
    let host = Host::serve(guest("fanout")?)
        .args(["--allow-outgoing", &held.url(), "--timeout", "1s"])
        .start()
        .await?;
    let answer = call(&host, &held.url()).await?;
    ensure!(answer.status == 504, "{}", answer.status);
    Ok(())
}

async fn call(host: &Host, to: &str) -> Result<Answer> {
    Client::new()
        .get(&format!("{}/?to={to}&k=1&wait=0", host.url()))
        .await
}
