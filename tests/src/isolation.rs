//! Runs guests that search memory for data of others while the kernel moves and swaps out pages.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::join_all;

use crate::memory_pressure::{self, MemoryGroup, Swap};
use crate::settings::{Settings, SettingsFile};
use crate::{Client, Host};

/// The guests: each kind with each kind of image (`marks` in `components/`).
const GUESTS: [(&str, Kind); 6] = [
    ("marks", Kind::Component),
    ("marks-large", Kind::Component),
    ("marks-p2", Kind::Component),
    ("marks-p2-large", Kind::Component),
    ("wagi-marks", Kind::Module),
    ("wagi-marks-large", Kind::Module),
];

/// Clients of each service. Half of them leave marks.
const CLIENTS: u64 = 2;

/// Milliseconds that a guest stays after it left its marks, so that its pages are swapped out once.
const STAY: u64 = 60;

/// The time between two rounds of swapping out or moving pages, in which guests can make progress.
const PAUSE: Duration = Duration::from_millis(40);

#[derive(Clone, Copy)]
enum Kind {
    Component,
    Module,
}

/// The results.
#[derive(Debug, Default)]
pub struct Figures {
    /// Instances that searched their memory.
    pub looked: u64,
    /// Instances that left marks.
    pub marked: u64,
    /// Requests that found no free instance.
    pub refused: u64,
    /// Marks that should not exist, each with the service that found it.
    pub found: Vec<String>,
    /// Pages of the machine that were moved during the run.
    pub moved: u64,
    /// Pages of the machine that were swapped out during the run.
    pub swapped: u64,
    /// Steps that the machine did not allow, with the reasons.
    pub skipped: Vec<String>,
}

/// Runs all of these guests for `run_for`, with these arguments to the host.
///
/// # Errors
///
/// Returns an error if the host cannot be started, or a guest gives a wrong answer.
pub async fn attack(run_for: Duration, arguments: &[&str]) -> Result<Figures> {
    let settings = settings()?;
    let mut host = Host::serve(settings.path())
        .args(["--log", "off"])
        .args(arguments)
        .start()
        .await?;
    let mut skipped = Vec::new();
    let swap = Swap::on();
    let group = match &swap {
        Ok(_) => MemoryGroup::of(host.process()),
        Err(error) => Err(anyhow::anyhow!("no swap space: {error:#}")),
    };
    let group = group.map_err(|error| skipped.push(format!("paging out: {error:#}")));
    if let Err(error) = memory_pressure::compact() {
        skipped.push(format!("compaction: {error}"));
    }
    let before = (
        memory_pressure::pages_moved()?,
        memory_pressure::pages_swapped_out()?,
    );

    let run = Run::new(host.url(), run_for);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = memory_pressure::compact();
                std::thread::park_timeout(PAUSE);
            }
        });
        if let Ok(group) = &group {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    group.page_out();
                    std::thread::park_timeout(PAUSE);
                }
            });
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(run.all());
        });
        over.store(true, Ordering::Relaxed);
    });
    // The group can be removed when it is empty.
    host.stop().await?;
    drop(group);
    let failed = run.failed.into_inner();
    let failed = failed.unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    let found = run.found.into_inner();
    Ok(Figures {
        looked: run.looked.into_inner(),
        marked: run.marked.into_inner(),
        refused: run.refused.into_inner(),
        found: found.unwrap_or_else(PoisonError::into_inner),
        moved: memory_pressure::pages_moved()? - before.0,
        swapped: memory_pressure::pages_swapped_out()? - before.1,
        skipped,
    })
}

/// Serves each guest as two services, with one instance per request.
fn settings() -> Result<SettingsFile> {
    let mut settings = Settings::default();
    for (guest, kind) in GUESTS {
        for service in ["a", "b"] {
            let (name, route) = (
                format!("{guest}-{service}"),
                format!("/{guest}-{service}/..."),
            );
            settings = match kind {
                Kind::Component => settings
                    .component_as(&name, guest, &route, &[])?
                    .text("max_requests_per_instance = 1\n\n"),
                Kind::Module => settings.module_as(&name, guest, &route)?,
            };
        }
    }
    settings.write()
}

struct Run {
    url: String,
    until: Instant,
    looked: AtomicU64,
    marked: AtomicU64,
    refused: AtomicU64,
    found: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
}

impl Run {
    fn new(url: &str, run_for: Duration) -> Self {
        Self {
            url: url.to_owned(),
            until: Instant::now() + run_for,
            looked: AtomicU64::default(),
            marked: AtomicU64::default(),
            refused: AtomicU64::default(),
            found: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    async fn all(&self) {
        let mut clients = Vec::new();
        for (guest, _) in GUESTS {
            for service in ["a", "b"] {
                for client in 0..CLIENTS {
                    let service = format!("{guest}-{service}");
                    clients.push(self.client(service, client % 2 == 0));
                }
            }
        }
        join_all(clients).await;
    }

    /// Sends requests to a service one after the other, which either leave marks or search for
    /// them.
    async fn client(&self, service: String, marks: bool) {
        let client = Client::new();
        while Instant::now() < self.until {
            let id = self.looked.fetch_add(1, Ordering::Relaxed);
            let url = match marks {
                true => format!("{}/{service}/mark/{id}?wait={STAY}", self.url),
                false => format!("{}/{service}/look", self.url),
            };
            match client.get(&url).await {
                Ok(answer) if answer.status == 200 => {
                    let text = answer.text();
                    if text != "clean\n" {
                        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push(format!("{service}: {}", text.trim_end()));
                    }
                    if marks {
                        self.marked.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(answer) if answer.status == 503 => {
                    self.looked.fetch_sub(1, Ordering::Relaxed);
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                failed => {
                    let what = match failed {
                        Ok(answer) => format!("{service} answered {}", answer.status),
                        Err(error) => format!("{service}: {error:#}"),
                    };
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push(what);
                    return;
                }
            }
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            looked,
            marked,
            refused,
            found,
            moved,
            swapped,
            skipped,
        } = self;
        writeln!(
            f,
            "{looked} instances looked at their memory, {marked} left marks; {refused} requests found no \
             place; {moved} pages were moved, {swapped} sent out; {} instances found what others left",
            found.len()
        )?;
        for found in found {
            writeln!(f, "LEAK: {found}")?;
        }
        for skipped in skipped {
            writeln!(f, "SKIPPED {skipped}")?;
        }
        Ok(())
    }
}
