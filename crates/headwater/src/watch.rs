//! Reloading when files change.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::live::Live;

/// How long files must be left alone before they are looked at: a compiler writes in pieces, and what
/// is half written cannot be loaded. Not longer than a person waits without a thought.
const QUIET: Duration = Duration::from_millis(300);

/// Watches the files that services are made of.
pub(crate) struct FileWatch {
    watcher: RecommendedWatcher,
    changed: mpsc::UnboundedReceiver<PathBuf>,
    /// Folders, because editors and compilers put a new file in the old one's place.
    folders: HashSet<PathBuf>,
}

// === impl FileWatch ===

impl FileWatch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// When the system has no more watches, or a folder is gone.
    pub(crate) fn begin(files: &[PathBuf]) -> Result<Self> {
        let (sender, changed) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading them, which loading does, is no change.
            if let Ok(event) = event
                && !matches!(event.kind, EventKind::Access(_))
            {
                for path in event.paths {
                    // Nobody listens any more when the host ends.
                    let _ = sender.send(path);
                }
            }
        })
        .context("files cannot be watched (--watch)")?;
        let mut watch = Self {
            watcher,
            changed,
            folders: HashSet::new(),
        };
        watch.follow(files)?;
        Ok(watch)
    }

    /// Reloads after each change, for ever.
    pub(crate) async fn run(mut self, live: Arc<Live>) {
        loop {
            let files: HashSet<PathBuf> = live.files().iter().map(|file| absolute(file)).collect();
            if let Err(error) = self.follow(&live.files()) {
                tracing::warn!(target: "headwater::reload", "{error:#}");
            }
            let Some(path) = self.changed.recv().await else {
                return;
            };
            let mut matters = files.contains(&absolute(&path));
            // Until nothing comes for a while.
            while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changed.recv()).await {
                matters |= files.contains(&absolute(&path));
            }
            if matters {
                tracing::info!(target: "headwater::reload", "a file has changed");
                // It says in the log what became of it.
                let _ = live.reload().await;
            }
        }
    }

    /// Watches the folders of these files, too.
    fn follow(&mut self, files: &[PathBuf]) -> Result<()> {
        for file in files {
            let file = absolute(file);
            let Some(folder) = file.parent() else {
                continue;
            };
            if !self.folders.contains(folder) {
                self.watcher
                    .watch(folder, RecursiveMode::NonRecursive)
                    .with_context(|| {
                        format!("the folder `{}` cannot be watched (--watch)", folder.display())
                    })?;
                self.folders.insert(folder.to_owned());
            }
        }
        Ok(())
    }
}

/// As the watcher names it.
fn absolute(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
