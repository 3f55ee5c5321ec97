//! Code that is compiled ahead of time: `headwater compile` writes a directory of it, and hosts only
//! read it.
//!
//! Its files are those of the cache, with the same names and checks. What differs is who writes
//! them, and when: a cache is one user's own, and the directory is made once, for many hosts. A
//! marker in it says what the code was compiled for. A directory without the marker is refused, so
//! that no directory of other files is taken for one that is to be trusted.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::directory::{CodeDirectory, DirectoryError};
use super::entry::{Key, KeyHasher};

/// The file that marks a directory of compiled code.
const MARKER: &str = "headwater-compiled.json";

const ABOUT: &str = "Guests that `headwater compile` compiled. Headwater runs this code with its own rights: \
                     only root and the user that Headwater runs as may be able to write here.";

/// A directory of code that was compiled ahead of time. It is only read.
#[derive(Debug)]
pub struct CompiledCode {
    pub(super) directory: CodeDirectory,
    made_for: CompiledFor,
}

/// A directory that code is compiled into, for other hosts.
#[derive(Debug)]
pub struct CompiledOutput {
    directory: CodeDirectory,
    /// The target of the code that the directory had before.
    before: Option<CompiledFor>,
    /// The code that was written, with its size in bytes, or the reason why it was not.
    written: Mutex<BTreeMap<PathBuf, Result<u64, String>>>,
}

/// The code that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompiledFiles {
    /// The number of guests. Services with the same guest and the same settings share its code.
    pub guests: usize,
    /// Their size on disk, in bytes.
    pub bytes: u64,
}

/// The reason why a directory of compiled code cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CompiledCodeError(#[from] Refusal);

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(
        "`{}` is not a directory of compiled guests: it has no file `{MARKER}`, which `headwater \
         compile` writes", .0.display()
    )]
    Unmarked(PathBuf),
    #[error(
        "`{}` has files that `headwater compile` did not write: name a new directory, or an empty \
         one", .0.display()
    )]
    Foreign(PathBuf),
    #[error("`{}`: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("compiled code cannot be written to `{}`: {why}", path.display())]
    Written { path: PathBuf, why: String },
}

/// What code was compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CompiledFor {
    wasmtime: String,
    platform: String,
    /// A digest of everything that affects the generated code, such as the features of the CPU.
    settings: String,
}

// === impl CompiledCode ===

impl CompiledCode {
    /// Opens a directory that `headwater compile` filled.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not exist, has no marker, belongs to a user other than this one
    /// and root, or is writable by others.
    pub fn open(path: &Path) -> Result<Self, CompiledCodeError> {
        let directory = CodeDirectory::existing(path.to_owned()).map_err(Refusal::from)?;
        let made_for = CompiledFor::read(path)?;
        Ok(Self {
            made_for: made_for.ok_or_else(|| Refusal::Unmarked(path.to_owned()))?,
            directory,
        })
    }

    /// Returns the difference, if the code was compiled for something else than this engine.
    pub(super) fn difference(&self, engine: &wasmtime::Engine) -> Option<String> {
        let (here, there) = (&CompiledFor::this(engine), &self.made_for);
        if here.wasmtime != there.wasmtime {
            let (here, there) = (&here.wasmtime, &there.wasmtime);
            Some(format!("is for wasmtime {there}, and this is {here}"))
        } else if here.platform != there.platform {
            let (here, there) = (&here.platform, &there.platform);
            Some(format!("is for {there}, and this is {here}"))
        } else {
            let differs = here.settings != there.settings;
            differs.then(|| "is for another kind of CPU or another build of Headwater".to_owned())
        }
    }
}

// === impl CompiledOutput ===

impl CompiledOutput {
    /// Opens a directory to write to. Creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, has other files, belongs to a user other than this
    /// one and root, or is writable by others.
    pub fn open(path: &Path) -> Result<Self, CompiledCodeError> {
        let directory = CodeDirectory::create(path.to_owned()).map_err(Refusal::from)?;
        let others = directory.others(MARKER);
        if others.map_err(|error| refusal(path, error))? {
            return Err(Refusal::Foreign(path.to_owned()).into());
        }
        Ok(Self {
            before: CompiledFor::read(path)?,
            directory,
            written: Mutex::default(),
        })
    }

    /// Writes the code of a guest. [`finish`](Self::finish) reports an error.
    pub(super) fn write(&self, key: &Key, code: wasmtime::Result<Vec<u8>>) {
        let written = match code {
            Ok(code) => match self.directory.write(key, &code) {
                Ok(()) => Ok(code.len() as u64),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(format!("{error:#}")),
        };
        let path = self.directory.path_of(key);
        self.written.lock().insert(path, written);
    }

    /// Marks the directory as complete. Removes code that was compiled for something else than this
    /// engine, and so can no longer be used.
    pub(super) fn finish(
        &self,
        engine: &wasmtime::Engine,
    ) -> Result<CompiledFiles, CompiledCodeError> {
        let written = self.written.lock();
        let mut bytes = 0;
        for (path, written) in &*written {
            bytes += written.clone().map_err(|why| Refusal::Written {
                path: path.clone(),
                why,
            })?;
        }
        let path = self.directory.path();
        let this = CompiledFor::this(engine);
        if self.before.as_ref() != Some(&this) {
            let kept = |file: &Path| written.contains_key(file);
            let removed = self.directory.remove_unless(kept);
            removed.map_err(|error| refusal(path, error))?;
        }
        let marker = path.join(MARKER);
        let marked = fs::write(&marker, format!("{:#}\n", this.marker()));
        marked.map_err(|error| refusal(&marker, error))?;
        Ok(CompiledFiles {
            guests: written.len(),
            bytes,
        })
    }
}

fn refusal(path: &Path, error: io::Error) -> CompiledCodeError {
    let path = path.to_owned();
    Refusal::File { path, error }.into()
}

// === impl CompiledFor ===

impl CompiledFor {
    fn this(engine: &wasmtime::Engine) -> Self {
        let mut hasher = KeyHasher::default();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // The format of the files, too.
        hasher.write(super::entry::MARK);
        Self {
            wasmtime: crate::WASMTIME_VERSION.to_owned(),
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            settings: hasher.hex(),
        }
    }

    fn marker(&self) -> Value {
        let Self {
            wasmtime,
            platform,
            settings,
        } = self;
        json!({
            "about": ABOUT,
            "headwater": env!("CARGO_PKG_VERSION"),
            "wasmtime": wasmtime,
            "platform": platform,
            "settings": settings,
        })
    }

    /// Reads the marker of a directory. Returns `None` if there is none.
    fn read(directory: &Path) -> Result<Option<Self>, CompiledCodeError> {
        let path = directory.join(MARKER);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refusal(&path, error)),
        };
        let value: Value =
            serde_json::from_slice(&text).map_err(|error| refusal(&path, error.into()))?;
        // A marker of another version may have other fields. Then its code cannot be used either.
        let field = |name: &str| {
            value[name]
                .as_str()
                .unwrap_or("an unknown version")
                .to_owned()
        };
        Ok(Some(Self {
            wasmtime: field("wasmtime"),
            platform: field("platform"),
            settings: field("settings"),
        }))
    }
}
