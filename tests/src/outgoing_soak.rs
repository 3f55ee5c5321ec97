//! A host that makes a great many outgoing requests, of all kinds and by all ways: all are answered, and
//! nothing of them stays.

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
/// Outgoing requests at once, of one request.
const EACH: usize = 4;
/// Before anything is compared, this share of all: instances, threads, tables and idle connections that
/// stay are there then.
const WARM_UP: f64 = 0.2;
/// How many more files may be open at the end than after the warm-up. The idle connections of a service
/// are as many as were ever needed at once, which chance may raise; what leaks grows with the requests.
const MOST_FILES: usize = 2 * CLIENTS * EACH;
/// The most resident memory at the end, as a multiple of what it was after the warm-up.
const MOST_GROWTH: f64 = 1.3;

/// One request to the host.
struct Job {
    path: String,
    /// Outgoing requests that come of it.
    outgoing: usize,
    status: u16,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Outgoing requests that were made, and answered as they should be.
    pub outgoing: usize,
    /// Those of them that arrived at an upstream.
    pub arrived: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Open files after the warm-up and at the end.
    pub files: [usize; 2],
    /// Resident memory after the warm-up and at the end, in bytes.
    pub rss: [u64; 2],
}

/// Makes a host make at least so many outgoing requests.
///
/// # Errors
///
/// If an answer is not as it should be, or the host does not end in order.
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
    // Files close in their own time, but they do.
    let settled = within("the end of what is left over", async {
        while process.open_files()? > before.0 + MOST_FILES {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    });
    // Whether it is so is told by the figures.
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

/// In the proportions in which they are made.
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
            // It remembers them all, and the memory of this process is finite too.
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
    /// What is not as it should be, in words.
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
