//! Loads a host that makes a great many outgoing requests of all kinds and by all interfaces: all
//! are answered, and nothing leaks.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;

use crate::settings::Settings;
use crate::upstream::{Behaviour, nobody};
use crate::{Client, Host, Upstream, within};

/// Clients, each with one request at a time.
const CLIENTS: usize = 4;
/// Concurrent outgoing requests of one request.
const EACH: usize = 4;
/// The share of all requests before measurement starts: by then there are all instances, threads,
/// tables and idle connections that stay.
const WARM_UP: f64 = 0.2;
/// How many more files may be open at the end than after the warm-up. The number of idle
/// connections of a service is the largest number ever needed at once, which varies by chance; a
/// leak grows with the number of requests.
const MOST_FILES: usize = 2 * CLIENTS * EACH;
/// The limit on resident memory at the end, as a multiple of that after the warm-up.
const MOST_GROWTH: f64 = 1.3;

/// One request to the host.
struct Job {
    path: String,
    /// The number of outgoing requests that it causes.
    outgoing: usize,
    status: u16,
}

/// The results.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Outgoing requests that were made and answered correctly.
    pub outgoing: usize,
    /// Those that arrived at an upstream.
    pub arrived: usize,
    /// The duration.
    pub elapsed: Duration,
    /// Open files after the warm-up and at the end.
    pub files: [usize; 2],
    /// Resident memory after the warm-up and at the end, in bytes.
    pub rss: [u64; 2],
}

/// Makes a host send at least this many outgoing requests.
///
/// # Errors
///
/// Returns an error if an answer is wrong, or the host does not shut down properly.
pub async fn run(outgoing: usize) -> Result<Figures> {
    let (good, reset) = (
        Upstream::start().await?,
        Upstream::with(Behaviour::Reset).await?,
    );
    let (good_url, reset_url, nobody) = (good.url(), reset.url(), nobody().await?);
    let grants = [&*good_url, &*reset_url, &*nobody, "http://hello.internal"];
    let settings = Settings::default()
        .component("fanout", "/fanout", &grants)?
        .component("outgoing-p2", "/p2", &grants)?
        .component("relay", "/relay", &grants)?
        .component("hello", "/hello", &[])?
        .write()?;
    let mut host = Host::serve(settings.path())
        .args(["--log", "off"])
        .start()
        .await?;
    let jobs = jobs(&good_url, &reset_url, &nobody);

    let started = Instant::now();
    let warm_up = (outgoing as f64 * WARM_UP) as usize;
    let first = load(&host, &jobs, &good, warm_up).await?;
    let process = host.process();
    let before = (process.open_files()?, process.rss()?);
    let rest = load(&host, &jobs, &good, outgoing - warm_up).await?;
    let elapsed = started.elapsed();
    // Files close after some time.
    let settled = within("the end of what is left over", async {
        while process.open_files()? > before.0 + MOST_FILES {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    });
    // The figures show whether it did.
    let _ = settled.await;
    let figures = Figures {
        outgoing: first.made + rest.made,
        arrived: first.arrived + rest.arrived,
        elapsed,
        files: [before.0, process.open_files()?],
        rss: [before.1, process.rss()?],
    };
    let status = host.stop().await?;
    ensure!(status.success(), "after SIGTERM: {status}");
    Ok(figures)
}

/// Returns the jobs in the proportions in which they are sent.
fn jobs(good: &str, reset: &str, nobody: &str) -> Vec<Job> {
    let job = |path: &str, to: &str, outgoing: usize, status: u16| Job {
        path: format!("{path}?to={to}&k={outgoing}&wait=0"),
        outgoing,
        status,
    };
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(job("/fanout", good, EACH, 200));
        jobs.push(job("/p2", good, EACH, 200));
        jobs.push(job("/relay", good, 1, 200));
        jobs.push(job("/fanout", "http://hello.internal", EACH, 200));
    }
    jobs.push(job("/fanout", reset, 1, 502));
    jobs.push(job("/fanout", nobody, 1, 502));
    jobs.push(job("/p2", nobody, 1, 502));
    jobs
}

struct Made {
    made: usize,
    arrived: usize,
}

async fn load(host: &Host, jobs: &[Job], upstream: &Upstream, outgoing: usize) -> Result<Made> {
    let (turns, made, arrived) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    try_join_all((0..CLIENTS).map(async |_| {
        let client = Client::new();
        while made.load(Ordering::Relaxed) < outgoing {
            let job = &jobs[turns.fetch_add(1, Ordering::Relaxed) % jobs.len()];
            let answer = client.get(&format!("{}{}", host.url(), job.path)).await?;
            ensure!(answer.status == job.status, "{}: {answer:?}", job.path);
            made.fetch_add(job.outgoing, Ordering::Relaxed);
            // The upstream remembers all calls, but the memory of this process is limited.
            arrived.fetch_add(upstream.take_calls().len(), Ordering::Relaxed);
        }
        Ok(())
    }))
    .await
    .with_context(|| format!("after {} outgoing requests", made.load(Ordering::Relaxed)))?;
    Ok(Made {
        made: made.into_inner(),
        arrived: arrived.into_inner(),
    })
}

impl Figures {
    /// Describes the problems.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let [before, after] = self.files;
        if after > before + MOST_FILES {
            problems.push(format!("{} files stayed open", after - before));
        }
        let growth = self.growth();
        if growth > MOST_GROWTH {
            problems.push(format!("memory grew to {growth:.2} times what it was"));
        }
        problems
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "memory is far below where floats lose whole bytes"
    )]
    fn growth(&self) -> f64 {
        self.rss[1] as f64 / self.rss[0] as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        writeln!(
            f,
            "{} outgoing requests answered in {:.0} s, {} of them by the upstream",
            self.outgoing,
            self.elapsed.as_secs_f64(),
            self.arrived
        )?;
        writeln!(f, "open files: {} and {}", self.files[0], self.files[1])?;
        write!(
            f,
            "memory: {} and {} MiB ({:.2})",
            mib(self.rss[0]),
            mib(self.rss[1]),
            self.growth()
        )
    }
}
