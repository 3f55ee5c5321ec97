use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::registry::Registry;
use crate::{OciError, Reference};

/// A folder with modules from registries, each named by its digest, and the digests of tags.
#[derive(Debug, Clone)]
pub struct ModuleCache {
    folder: PathBuf,
    refresh: Refresh,
}

/// The lookup of cached modules in the registry. A digest in the cache is never looked up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// Look up each tag each time: it may have moved. If the registry fails, the cached module is used.
    #[default]
    Always,
    /// Never, as in WAGI.
    Never,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// `sha256:…` of its bytes.
    pub digest: String,
    /// Its origin.
    pub origin: Origin,
}

/// The origin of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was fetched.
    Registry,
    /// It was in the cache.
    Cache,
}

impl ModuleCache {
    /// Creates a cache in this folder, which is created when needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, refresh: Refresh) -> Self {
        Self {
            folder: folder.into(),
            refresh,
        }
    }

    /// Fetches a module, or takes it from the cache.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not in the cache and cannot be fetched, or the cache cannot be written.
    pub async fn fetch(&self, reference: &Reference) -> Result<Fetched, OciError> {
        let known = self.known(reference).await;
        let settled = self.refresh == Refresh::Never || reference.digest().is_some();
        if let (true, Some((digest, bytes))) = (settled, &known) {
            return Ok(fetched(digest, bytes.clone(), Origin::Cache));
        }
        match (self.ask(reference, known.as_ref()).await, known) {
            (Ok(fetched), _) => Ok(fetched),
            (Err(error @ OciError::Cache { .. }), _) | (Err(error), None) => Err(error),
            (Err(error), Some((digest, bytes))) => {
                tracing::warn!(
                    %reference,
                    error = headwater_core::explain(&error),
                    "the registry could not be asked whether the tag has moved; using the module in the cache"
                );
                Ok(fetched(&digest, bytes, Origin::Cache))
            }
        }
    }

    async fn ask(
        &self,
        reference: &Reference,
        known: Option<&(Digest, Vec<u8>)>,
    ) -> Result<Fetched, OciError> {
        let mut registry = Registry::new(reference)?;
        let digest = registry.layer().await?;
        let cached = match known {
            Some((known, bytes)) if *known == digest => Some(bytes.clone()),
            // Another tag may lead to the same module.
            _ => self.blob(&digest).await,
        };
        let (bytes, origin) = match cached {
            Some(bytes) => (bytes, Origin::Cache),
            None => (registry.blob(&digest).await?.to_vec(), Origin::Registry),
        };
        if origin == Origin::Registry {
            write(&self.blob_path(&digest), &bytes).await?;
        }
        let record = format!("{digest} {reference}\n");
        write(&self.record_path(reference), record.as_bytes()).await?;
        Ok(fetched(&digest, bytes, origin))
    }

    /// Returns the module that the reference led to when last fetched, if it is still there and intact.
    async fn known(&self, reference: &Reference) -> Option<(Digest, Vec<u8>)> {
        let record = tokio::fs::read_to_string(self.record_path(reference))
            .await
            .ok()?;
        let digest = Digest::parse(record.split(' ').next()?)?;
        let bytes = self.blob(&digest).await?;
        Some((digest, bytes))
    }

    async fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = tokio::fs::read(self.blob_path(digest)).await.ok()?;
        // Cached code is run, so its digest is checked.
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("oci").join("sha256").join(digest.hex())
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes());
        self.folder.join("oci").join("references").join(name.hex())
    }
}

fn fetched(digest: &Digest, bytes: Vec<u8>, origin: Origin) -> Fetched {
    Fetched {
        bytes,
        digest: digest.to_string(),
        origin,
    }
}

/// Writes a file atomically: two hosts may share a cache.
async fn write(path: &Path, bytes: &[u8]) -> Result<(), OciError> {
    let cannot = |source: io::Error| OciError::Cache {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    tokio::fs::create_dir_all(folder).await.map_err(cannot)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    tokio::fs::write(&new, bytes).await.map_err(cannot)?;
    tokio::fs::rename(&new, path).await.map_err(cannot)
}
