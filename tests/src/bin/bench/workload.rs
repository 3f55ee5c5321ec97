//! A workload without figures: it trains the optimised build (`cargo xtask release`).

use anyhow::{Context, Result};
use headwater_tests::Host;
use headwater_tests::guests::guest;
use tempfile::TempDir;

use crate::load::Target;
use crate::options::Options;
use crate::plain::BODY;

/// Loads hosts of each kind, and ends them by SIGTERM: a host that is killed writes no profile.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let folder = TempDir::new().context("making a temporary folder")?;
    let this = std::env::current_exe().context("asking for the path of this program")?;
    let mut upstream = Host::program(this).arg("plain-server").start().await?;
    let to = upstream.url().to_owned();
    let file = folder.path().join("headwater.toml");
    std::fs::write(
        &file,
        format!("[[answer]]\nroute = \"/...\"\nbody = {BODY:?}\n"),
    )?;
    let fixed = Host::serve(&file)
        .arg("--access-log")
        .arg("--access-log-to")
        .arg(folder.path().join("access.log"))
        .arg("--trace-file")
        .arg(folder.path().join("traces.json"));
    // Half of the requests are traced: the others run the code that a sampler's choice leaves.
    let observed = Host::serve(guest("hello")?)
        .args(["--access-log", "json", "--access-log-to"])
        .arg(folder.path().join("hello.log"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &to)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        .env("OTEL_TRACES_SAMPLER", "traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.5");
    let fanout = Host::serve(guest("fanout")?).args(["--allow-outgoing", &to]);
    let chained = Host::serve(guest("hello")?)
        .arg("--middleware")
        .arg(guest("gate")?);
    let outgoing = format!("/?to={to}&k=1&wait=0");
    let loads = [
        ("/", options.requests, fixed),
        ("/", 3 * options.requests, Host::serve(guest("hello")?)),
        ("/", options.requests, Host::serve(guest("mw-hello")?)),
        ("/", options.requests, chained),
        ("/", options.requests, observed),
        ("/", options.requests, Host::serve(guest("hello-p2")?)),
        (&*outgoing, options.requests, fanout),
        ("/bytes?n=1048576", 500, Host::serve(guest("stream")?)),
        (
            "/a?b=c",
            options.requests / 2,
            Host::serve(guest("wagi-c")?),
        ),
        (
            "/a?b=c",
            options.requests / 4,
            Host::serve(guest("wagi-rust")?),
        ),
    ];
    for (path, requests, host) in loads {
        let mut target = Target::connect(host.start().await?, path).await?;
        println!("{requests} requests to {}{path}", target.server.url());
        target.load(requests).await?;
        target.end().await?;
    }
    upstream.stop().await?;
    Ok(())
}
