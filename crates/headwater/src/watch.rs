//! Reloading when files change.
//!
//! Whether they have is told by looking at them. The system's notices only say when it is time for it: they
//! come of folders, where other files may change all the time (a log), and none comes when a folder or a
//! link on the way to a file is put in the place of another, as those are by which Kubernetes mounts
//! settings and secrets and by which releases follow each other.

mod stamps;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::stamps::Stamps;
use crate::reload::RunningHost;

/// How long files must be left alone before they are read: a compiler writes in pieces, and what is half
/// written cannot be loaded. Not longer than a person waits without a thought.
const QUIET: Duration = Duration::from_millis(300);

/// Files that are never left alone are read after this time all the same. What is half written by then
/// changes nothing, and is read again when it is whole.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often files are looked at without a notice.
const POLL: Duration = Duration::from_secs(2);

/// Watches the files that services are made of.
pub(crate) struct FileWatch {
    watcher: RecommendedWatcher,
    /// There may be something new.
    noticed: Arc<Notify>,
    /// Whose notices count, as the watcher names them.
    names: Arc<Mutex<HashSet<PathBuf>>>,
    /// Folders, because editors and compilers put a new file in the old one's place.
    folders: HashSet<PathBuf>,
    /// The files as they were when they were read.
    known: Stamps,
}

// === impl FileWatch ===

impl FileWatch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// When the system has no more watches, or a folder is gone.
    pub(crate) fn begin(files: &[PathBuf]) -> Result<Self> {
        let noticed = Arc::new(Notify::new());
        let names = Arc::new(Mutex::new(HashSet::new()));
        let (notify, counted) = (noticed.clone(), names.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading them, which loading does, is no change.
            if let Ok(event) = event
                && !matches!(event.kind, EventKind::Access(_))
            {
                let names = lock(&counted);
                if event.paths.iter().any(|path| names.contains(path)) {
                    notify.notify_one();
                }
            }
        })
        .context("files cannot be watched (--watch)")?;
        let mut watch = Self {
            watcher,
            noticed,
            names,
            folders: HashSet::new(),
            known: Stamps::take(files),
        };
        watch.follow(files)?;
        Ok(watch)
    }

    /// Reloads after each change, for ever.
    pub(crate) async fn run(mut self, live: Arc<RunningHost>) {
        loop {
            tokio::select! {
                () = self.noticed.notified() => {}
                () = sleep(POLL) => {}
            }
            let files = live.files();
            let Some(mut found) = look(&files).await else {
                return;
            };
            if found == self.known {
                continue;
            }
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                sleep(QUIET).await;
                let Some(now) = look(&files).await else {
                    return;
                };
                let is_quiet = now == found;
                found = now;
                if is_quiet {
                    break;
                }
            }
            tracing::info!(target: "headwater::reload", "a file has changed");
            // It says in the log what became of it.
            let _ = live.reload().await;
            // What has changed since it was looked at is seen next time.
            let files = live.files();
            let Some(now) = look(&files).await else {
                return;
            };
            self.known = found.or(now).of(&files);
            if let Err(error) = self.follow(&files) {
                tracing::warn!(target: "headwater::reload", "{error:#}");
            }
        }
    }

    /// Watches the folders of these files, too, and of those that they lead to as links.
    fn follow(&mut self, files: &[PathBuf]) -> Result<()> {
        let led_to = files.iter().filter_map(|file| file.canonicalize().ok());
        let names: HashSet<PathBuf> = files.iter().map(|file| absolute(file)).collect();
        let names: HashSet<PathBuf> = names.into_iter().chain(led_to).collect();
        lock(&self.names).clone_from(&names);
        for folder in names.iter().filter_map(|name| name.parent()) {
            if !self.folders.contains(folder) {
                self.watcher
                    .watch(folder, RecursiveMode::NonRecursive)
                    .with_context(|| {
                        format!(
                            "the folder `{}` cannot be watched (--watch)",
                            folder.display()
                        )
                    })?;
                self.folders.insert(folder.to_owned());
            }
        }
        Ok(())
    }
}

/// Looks at the files, where a slow disk holds up nobody. `None`: the runtime is ending.
async fn look(files: &[PathBuf]) -> Option<Stamps> {
    let files = files.to_vec();
    let looked = tokio::task::spawn_blocking(move || Stamps::take(&files));
    looked.await.ok()
}

/// As the watcher names it.
fn absolute(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Nothing panics while it is held.
fn lock(names: &Mutex<HashSet<PathBuf>>) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}
