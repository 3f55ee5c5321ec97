//! Modules as bytes, from files and registries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use headwater_oci::{ModuleCache, Origin, Reference};
use tempfile::TempDir;

use crate::cli::wagi::{self, ModuleArgs};

/// The cache of modules from registries; made when one is fetched.
pub(super) struct Cache {
    folder: Option<PathBuf>,
    refresh: headwater_oci::Refresh,
    /// Removed when all modules are loaded.
    temporary: tokio::sync::OnceCell<TempDir>,
}

impl Cache {
    pub(super) fn new(arguments: &ModuleArgs) -> Self {
        Self {
            folder: arguments.module_cache.clone(),
            refresh: match arguments.module_refresh {
                wagi::Refresh::Start => headwater_oci::Refresh::Always,
                wagi::Refresh::Never => headwater_oci::Refresh::Never,
            },
            temporary: tokio::sync::OnceCell::new(),
        }
    }

    pub(super) async fn fetch(&self, reference: &str) -> Result<(Vec<u8>, PathBuf)> {
        let reference = Reference::parse(reference)?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self
                .temporary
                .get_or_try_init(|| async { TempDir::new() })
                .await
                .context("there is no folder for modules from registries (see --module-cache)")?
                .path()
                .to_owned(),
        };
        let fetched = ModuleCache::new(folder, self.refresh)
            .fetch(&reference)
            .await?;
        let from = match fetched.origin {
            Origin::Registry => "fetched",
            Origin::Cache => "cached",
        };
        tracing::info!(%reference, digest = fetched.digest, "module {from}");
        let origin = format!("{reference}, {}", fetched.digest);
        Ok((fetched.bytes, origin.into()))
    }
}

/// Reads a module. Paths are from the working directory, as in WAGI; many expect them to be from the
/// file's.
pub(super) fn read(module: &Path, file: &Path) -> Result<Vec<u8>> {
    let error = match std::fs::read(module) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let beside = folder.join(module);
    if module.is_relative() && folder != Path::new("") && beside.is_file() {
        bail!(
            "cannot read `{}`: {error}: paths are from the working directory, as in WAGI, and there is \
             one in the file's: run the command in `{}`, or write `{}`",
            module.display(),
            folder.display(),
            beside.display()
        );
    }
    bail!(
        "cannot read `{}`: {error}: check the path",
        module.display()
    )
}
