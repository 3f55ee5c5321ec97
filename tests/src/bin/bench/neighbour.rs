//! Measures the latency of one service while a guest of another one spins on the same host.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::settings::Settings;
use headwater_tests::{Client, Host};
use tokio::task::JoinHandle;

use crate::goal::{Goal, median};
use crate::load::{CONNECTIONS, Target};
use crate::options::Options;
use crate::paced::Pace;

/// The path of the measured service; all others belong to the neighbour.
const HELLO: &str = "/hello";
/// The number of requests that determine the peak load, three times.
const PEAK_REQUESTS: usize = 20_000;
/// The duration of a round.
const ROUND: Duration = Duration::from_secs(3);
/// The duration of a spin: longer than a round.
const SPIN: &str = "timeout = \"6s\"\n";
/// The highest allowed ratio of the 99th percentile to that without load.
const MOST_TIMES: f64 = 3.0;

pub(crate) async fn measure(options: &Options) -> Result<Vec<Goal>> {
    let settings = Settings::default()
        .component("hello", HELLO, &[])?
        .component("faulty", "/...", &[])?
        .text(SPIN)
        .write()?;
    let host = Host::serve(settings.path()).start().await?;
    let process = host.process();
    let mut host = Target::connect(host, HELLO).await?;

    host.load(PEAK_REQUESTS).await?;
    let mut peaks = Vec::new();
    for _ in 0..3 {
        peaks.push(host.load(PEAK_REQUESTS).await?.per_second());
    }
    let half = median(peaks) / 2.0;
    let pace = Pace {
        authority: host.server.address().to_owned(),
        requests: [format!(
            "GET {HELLO} HTTP/1.1\r\nhost: {}\r\n\r\n",
            host.server.address()
        )
        .into_bytes()]
        .into(),
        connections: CONNECTIONS,
        per_second: half,
        length: ROUND,
    };
    println!(
        "neighbour: {} rounds of {} s each at {half:.0} requests/s, half of the peak, over {CONNECTIONS} \
         connections, in turn\n",
        options.rounds,
        ROUND.as_secs()
    );

    let (mut quiet, mut noisy, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        quiet.push(pace.p99().await?);

        let spin = spin(&host);
        noisy.push(pace.p99().await?);
        ensure!(
            !spin.is_finished(),
            "the guest had ended before the round: the machine is too busy to keep the pace"
        );
        let status = spin.await??;
        ensure!(status == 504, "the guest that spins was answered {status}");
        process.calm().await?;

        let other = Spinner::start()?;
        beside.push(pace.p99().await?);
        drop(other);
    }
    let p99 = |rounds: &[Duration]| median(rounds.iter().map(Duration::as_secs_f64)) * 1e3;
    let (quiet, noisy, beside) = (p99(&quiet), p99(&noisy), p99(&beside));
    let times = noisy / quiet;
    println!("  p99 {quiet:6.2} ms in quiet");
    println!("  p99 {noisy:6.2} ms beside a guest that spins, {times:.2} times");
    println!(
        "  p99 {beside:6.2} ms beside a process that spins, {:.2} times: what the machine itself adds\n",
        beside / quiet
    );
    Ok(vec![Goal {
        target: format!("p99 beside a guest that spins under {MOST_TIMES} times the quiet one"),
        found: format!("{times:.2}"),
        met: times < MOST_TIMES,
    }])
}

/// Makes the guest spin until its deadline, and returns the status of the answer.
fn spin(target: &Target) -> JoinHandle<Result<http::StatusCode>> {
    let url = format!("{}/spin", target.server.url());
    tokio::spawn(async move { Ok(Client::new().get(&url).await?.status) })
}

/// A process that only computes. It is killed when dropped.
struct Spinner(Child);

impl Spinner {
    fn start() -> Result<Self> {
        let child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn();
        child.map(Self).context("starting a shell that spins")
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        // It does not end by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
