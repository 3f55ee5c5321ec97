//! Certificates that change while the server runs.

use std::sync::Arc;

use super::Identity;

/// Looks at the files for ever, and reads them again when one has changed.
pub(crate) async fn watch(identity: Arc<Identity>) {
    let Some(interval) = identity.watch() else {
        return;
    };
    loop {
        tokio::time::sleep(interval).await;
        let looked = Arc::clone(&identity);
        // Disks may be slow, and connections must not wait for them.
        match tokio::task::spawn_blocking(move || looked.reload_if_changed()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => {
                tracing::info!(target: "headwater::server", "the certificates have changed and were read again");
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    target: "headwater::server",
                    %error,
                    "the certificates have changed and cannot be used; those from before stay"
                );
            }
            // The runtime is ending.
            Err(_) => return,
        }
    }
}
