//! Reloading when files change.
//!
//! They are looked at again and again. The system could say when it is time for it, but not of all changes
//! (see [`FileStamps`]), not on every file system, and also of files beside them that change all the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::FileStamps;
use tokio::time::{Instant, sleep};

use crate::reload::RunningHost;

/// How long files must be left alone before they are read: a compiler writes in pieces, and what is half
/// written cannot be loaded. Not longer than a person waits without a thought.
const QUIET: Duration = Duration::from_millis(300);

/// Files that are never left alone are read after this time all the same. What is half written by then
/// changes nothing, and is read again when it is whole.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often files are looked at: it takes a microsecond for each.
const POLL: Duration = Duration::from_millis(300);

/// Watches the files that services are made of.
pub(crate) struct FileWatch {
    /// The files as they were when they were read.
    known: FileStamps,
}

// === impl FileWatch ===

impl FileWatch {
    /// Begins to watch.
    pub(crate) fn begin(files: &[PathBuf]) -> Self {
        let known = FileStamps::take(files);
        Self { known }
    }

    /// Reloads after each change, for as long as the runtime lives.
    pub(crate) async fn run(mut self, live: Arc<RunningHost>) {
        while self.changed(&live).await.is_some() {}
    }

    /// Reloads after the next change. `None`: the runtime is ending.
    async fn changed(&mut self, live: &Arc<RunningHost>) -> Option<()> {
        let mut found = look(live).await?;
        while found == self.known {
            sleep(POLL).await;
            found = look(live).await?;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            sleep(QUIET).await;
            let before = std::mem::replace(&mut found, look(live).await?);
            if before == found {
                break;
            }
        }
        tracing::info!(target: "headwater::reload", "a file has changed");
        // It says in the log what became of it.
        let _ = live.reload().await;
        // What has changed since it was looked at is seen next time.
        self.known = look(live).await?.or_earlier(&found);
        Some(())
    }
}

/// Looks at the files, where a slow disk holds up nobody. `None`: the runtime is ending.
async fn look(live: &RunningHost) -> Option<FileStamps> {
    let files = live.files();
    let looked = tokio::task::spawn_blocking(move || FileStamps::take(files));
    looked.await.ok()
}
