//! Promise: a guest calls nobody whom it was not allowed to call, and is told when a call fails.

use anyhow::{Result, ensure};
use headwater_tests::guests::guest;
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
        let log = host.stderr().text();
        ensure!(log.contains("--allow-outgoing"), "{log}");
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
