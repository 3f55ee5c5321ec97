//! Decides whether a guest has to be rebuilt: it does not if its inputs and the built file are
//! unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The hash of all inputs of a guest, by content, because file times are meaningless after a
/// checkout.
#[derive(Default)]
pub(crate) struct Fingerprint {
    hash: Sha256,
}

impl Fingerprint {
    /// Adds a text, such as a tool's version.
    pub(crate) fn text(&mut self, text: &str) {
        // The length distinguishes two texts from their concatenation.
        self.hash.update((text.len() as u64).to_le_bytes());
        self.hash.update(text);
    }

    /// Adds a file, or all files in a folder; a missing file is recorded as missing.
    pub(crate) fn files(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            let entries =
                fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
            let mut inside = entries
                .map(|e| Ok(e?.path()))
                .collect::<Result<Vec<PathBuf>>>()?;
            inside.sort();
            for path in inside {
                self.text(&path.file_name().unwrap_or_default().to_string_lossy());
                self.files(&path)?;
            }
        } else if path.exists() {
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            self.hash.update((bytes.len() as u64).to_le_bytes());
            self.hash.update(bytes);
        } else {
            self.text("missing");
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> String {
        hexadecimal(&self.hash.finalize())
    }
}

/// The record of a guest's inputs and of its built files.
pub(crate) struct Stamp {
    path: PathBuf,
    text: String,
    outputs: Vec<PathBuf>,
}

impl Stamp {
    pub(crate) fn new(path: PathBuf, fingerprint: &str, outputs: Vec<PathBuf>) -> Self {
        Self {
            path,
            text: fingerprint.to_owned(),
            outputs,
        }
    }

    /// Returns true if the last build of the guest is still up to date.
    pub(crate) fn is_fresh(&self) -> Result<bool> {
        let recorded = fs::read_to_string(&self.path).unwrap_or_default();
        Ok(self.outputs.iter().all(|path| path.is_file()) && recorded == self.record()?)
    }

    pub(crate) fn write(&self) -> Result<()> {
        fs::write(&self.path, self.record()?)
            .with_context(|| format!("writing {}", self.path.display()))
    }

    fn record(&self) -> Result<String> {
        let mut outputs = Fingerprint::default();
        for path in &self.outputs {
            outputs.files(path)?;
        }
        Ok(format!("from {}\nto {}\n", self.text, outputs.finish()))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folder: &Path, version: &str) -> String {
        let mut fingerprint = Fingerprint::default();
        fingerprint.text(version);
        fingerprint.files(folder).unwrap();
        fingerprint.finish()
    }

    #[test]
    fn a_fingerprint_changes_with_a_name_a_content_and_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("a"), "1").unwrap();
        let before = of(path, "v1");
        assert_eq!(before, of(path, "v1"));
        assert_ne!(before, of(path, "v2"));
        fs::write(path.join("a"), "2").unwrap();
        assert_ne!(before, of(path, "v1"));
        fs::remove_file(path.join("a")).unwrap();
        fs::write(path.join("b"), "1").unwrap();
        assert_ne!(before, of(path, "v1"));
    }

    #[test]
    fn a_guest_is_fresh_until_its_source_or_its_output_changes() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.wasm");
        let stamp = |fingerprint: &str| {
            Stamp::new(
                folder.path().join("stamp"),
                fingerprint,
                vec![output.clone()],
            )
        };
        assert!(!stamp("one").is_fresh().unwrap());
        fs::write(&output, "built").unwrap();
        stamp("one").write().unwrap();
        assert!(stamp("one").is_fresh().unwrap());
        assert!(!stamp("two").is_fresh().unwrap());
        fs::write(&output, "touched").unwrap();
        assert!(!stamp("one").is_fresh().unwrap());
        fs::remove_file(&output).unwrap();
        assert!(!stamp("one").is_fresh().unwrap());
    }
}
