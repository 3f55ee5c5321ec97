//! Reloading when files change.
//!
//! The files are polled. Notifications of the system do not cover all changes (see [`FileStamps`])
//! and not every file system, and they also report other files in the same folder that change all
//! the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::FileStamps;
use tokio::time::{Instant, sleep};

use crate::reload::RunningHost;

/// The time that files must stay unchanged before they are read: a compiler writes in pieces, and
/// half-written files cannot be loaded. Short enough for a person to wait.
const QUIET: Duration = Duration::from_millis(300);

/// The time after which files are read even if they still change. Half-written files change
/// nothing, and are read again when they are complete.
const PATIENCE: Duration = Duration::from_secs(3);

/// The interval between two checks of the files. A check takes a microsecond for each file.
const POLL: Duration = Duration::from_millis(300);

pub(crate) struct FileWatch {
    /// The files as they were when they were read.
    known: FileStamps,
}

// === impl FileWatch ===

impl FileWatch {
    pub(crate) fn begin(files: &[PathBuf]) -> Self {
        let known = FileStamps::take(files);
        Self { known }
    }

    /// Reloads after each change, as long as the runtime lives.
    pub(crate) async fn run(mut self, live: Arc<RunningHost>) {
        while self.changed(&live).await.is_some() {}
    }

    /// Reloads after the next change. Returns `None` if the runtime is ending.
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
        // `reload` logs the result.
        let _ = live.reload().await;
        // Changes since the last check are seen the next time.
        self.known = look(live).await?.or_earlier(&found);
        Some(())
    }
}

/// Checks the files on a thread that may block. Returns `None` if the runtime is ending.
async fn look(live: &RunningHost) -> Option<FileStamps> {
    let files = live.files();
    let looked = tokio::task::spawn_blocking(move || FileStamps::take(files));
    looked.await.ok()
}
