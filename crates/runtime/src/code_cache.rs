//! A cache of compiled code on disk, so that a start need not compile the same guest again.
//!
//! The code of each guest is a file of its own, written atomically. Its name is a hash ([`Key`]) of the
//! guest's binary and of everything that affects the code that wasmtime generates. The file's owner, mode
//! and checksum are verified before wasmtime maps it ([`VerifiedCode`]). If a check fails, the file is
//! dropped and the guest compiled again. Services with the same guest share its code.
//!
//! wasmtime's own cache (`Config::cache`) is not used: it loads any file with the right name, so a bit
//! flipped on disk runs as code. Nor can it be verified from outside: the file names are hashes that it
//! does not reveal, it reads a file again after a check could have looked at it, and it compresses
//! without zstd's checksum. Its hook for other stores (`CacheStore`) is only for Cranelift's incremental
//! compilation of single functions.
//!
//! A mapping changes with its file, also after the checksum was verified. Only this user and root may write
//! to the file, and this program never writes to a file that has its name already. They could replace the
//! program as well, which the system maps in the same way.

mod ahead;
mod directory;
mod entry;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use wasmtime::Module;
use wasmtime::component::Component;

pub use self::ahead::{CompiledCode, CompiledCodeError, CompiledFiles, CompiledOutput};
use self::directory::CodeDirectory;
use self::entry::{Key, VerifiedCode};

/// The maximum size of all files together, in bytes; the least recently used files are removed first.
/// Code is up to three times as large as its WebAssembly: CPython's is 27 MB of 26, Go's 12 of 6.
const MAX_BYTES: u64 = 1 << 30;

/// The remedy that each warning ends with.
const REMEDY: &str = "name another directory with --code-cache (`code_cache` in [server]), or turn the \
                      cache off with `--code-cache off`";

/// The maximum number of warnings kept: more than a person reads of one kind.
const KEPT_WARNINGS: usize = 32;

/// The location of compiled code on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CodeCache {
    /// In the user's cache directory: `$XDG_CACHE_HOME/headwater`, or `~/.cache/headwater`; on macOS
    /// `~/Library/Caches/headwater`.
    #[default]
    Default,
    /// In this directory, which is created if it does not exist.
    Directory(PathBuf),
    /// Nowhere: the cache is off.
    Off,
}

/// The places of compiled code.
#[derive(Debug, Default)]
pub struct CodePlaces {
    /// Code that was compiled ahead of time. Default: none.
    pub compiled: Option<CompiledCode>,
    /// The cache, for all other guests.
    pub cache: CodeCache,
}

/// Compiles guests, or loads their code from disk.
pub struct Compiler {
    store: Store,
    /// The first few warnings, without repetitions: a host that runs for long may have more and more.
    warnings: Mutex<Vec<String>>,
    components: Shared<Component>,
    modules: Shared<Module>,
}

enum Store {
    /// Code is read from a directory, or else from the cache, where new code is written to.
    Host {
        compiled: Option<CompiledCode>,
        cache: CodeCache,
        /// Opened when it is needed: a host whose code is all compiled ahead has no use for it.
        opened: OnceLock<Option<CodeDirectory>>,
    },
    /// Code is compiled and written.
    Output(CompiledOutput),
}

/// The code in use, so that services with the same guest share it.
struct Shared<C>(Mutex<HashMap<Key, Arc<Slot<C>>>>);

/// The code of one guest. It is locked while the guest is compiled, so that services which are
/// loaded at the same time compile it once.
type Slot<C> = Mutex<Weak<C>>;

/// A component or a module.
trait Compiled: Sized {
    /// Distinguishes modules from components.
    const KIND: &'static str;

    fn compile(engine: &wasmtime::Engine, binary: &[u8]) -> wasmtime::Result<Self>;

    fn code(&self) -> wasmtime::Result<Vec<u8>>;

    fn load(engine: &wasmtime::Engine, code: &VerifiedCode) -> wasmtime::Result<Self>;

    fn engine(&self) -> &wasmtime::Engine;

    fn shared(compiler: &Compiler) -> &Shared<Self>;
}

// === impl Compiler ===

impl Compiler {
    /// Makes the compiler of a host. Warns if the code that was compiled ahead is not for this
    /// engine, and does not use it then.
    pub(crate) fn of_host(places: CodePlaces, engine: &wasmtime::Engine) -> Self {
        let CodePlaces { compiled, cache } = places;
        let difference = compiled.as_ref().and_then(|code| code.difference(engine));
        let path = compiled
            .as_ref()
            .map(|code| code.directory.path().to_owned());
        let compiler = Self::new(Store::Host {
            compiled: compiled.filter(|_| difference.is_none()),
            cache,
            opened: OnceLock::new(),
        });
        if let (Some(path), Some(difference)) = (path, difference) {
            compiler.warn(format!(
                "the compiled code in `{}` {difference}: it is not used, and guests are compiled at start: \
                 run `headwater compile` again, with this program on such a machine",
                path.display()
            ));
        }
        compiler
    }

    /// Makes a compiler that writes all code into a directory.
    pub(crate) fn into_output(output: CompiledOutput) -> Self {
        Self::new(Store::Output(output))
    }

    fn new(store: Store) -> Self {
        Self {
            store,
            warnings: Mutex::default(),
            components: Shared(Mutex::default()),
            modules: Shared(Mutex::default()),
        }
    }

    /// Marks the directory that code was written into as complete. Returns `None` if there is no
    /// such directory.
    pub(crate) fn finish(
        &self,
        engine: &wasmtime::Engine,
    ) -> Result<Option<CompiledFiles>, CompiledCodeError> {
        match &self.store {
            Store::Host { .. } => Ok(None),
            Store::Output(output) => output.finish(engine).map(Some),
        }
    }

    /// Opens the cache. If that fails, guests are compiled at each start.
    fn open(&self, cache: &CodeCache) -> Option<CodeDirectory> {
        let directory = match cache {
            CodeCache::Default => CodeDirectory::default_path(),
            CodeCache::Directory(path) => Ok(path.clone()),
            CodeCache::Off => return None,
        };
        let opened = directory.and_then(|path| CodeDirectory::open(path, MAX_BYTES));
        let failed = |error| {
            self.warn(format!(
                "compiled code is not kept on disk, and each start compiles all guests again: {error}: \
                 {REMEDY}"
            ));
        };
        opened.map_err(failed).ok()
    }

    /// Returns the first logged warnings about compiled code on disk, without repetitions.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    fn warn(&self, warning: String) {
        tracing::warn!(target: "headwater::config", kind = "code_cache", "{warning}");
        let mut warnings = self.warnings.lock();
        if warnings.len() < KEPT_WARNINGS && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Compiles a component, or loads its code from disk. While the result is in use, others get the same.
    /// Warnings name the service.
    ///
    /// # Errors
    ///
    /// As [`Component::new`].
    pub fn component(
        &self,
        engine: &wasmtime::Engine,
        binary: &[u8],
        service: &str,
    ) -> wasmtime::Result<Arc<Component>> {
        self.compiled(engine, binary, service)
    }

    /// Compiles a module, or loads its code from disk. While the result is in use, others get the same.
    /// Warnings name the service.
    ///
    /// # Errors
    ///
    /// As [`Module::new`].
    pub fn module(
        &self,
        engine: &wasmtime::Engine,
        binary: &[u8],
        service: &str,
    ) -> wasmtime::Result<Arc<Module>> {
        self.compiled(engine, binary, service)
    }

    fn compiled<C: Compiled>(
        &self,
        engine: &wasmtime::Engine,
        binary: &[u8],
        service: &str,
    ) -> wasmtime::Result<Arc<C>> {
        let key = Key::new(engine, C::KIND, binary);
        let slot = C::shared(self).slot(&key);
        let mut shared = slot.lock();
        // Another engine with the same settings cannot run it.
        let usable = |code: &Arc<C>| wasmtime::Engine::same(code.engine(), engine);
        if let Some(code) = shared.upgrade().filter(usable) {
            return Ok(code);
        }
        let code = Arc::new(match &self.store {
            Store::Output(output) => {
                let compiled = C::compile(engine, binary)?;
                output.write(&key, compiled.code());
                compiled
            }
            Store::Host {
                compiled,
                cache,
                opened,
            } => {
                let ahead = compiled.as_ref();
                let ahead = ahead.and_then(|ahead| self.ahead(ahead, &key, engine, service));
                let cache = || opened.get_or_init(|| self.open(cache)).as_ref();
                match ahead {
                    Some(code) => code,
                    None => match cache() {
                        Some(directory) => self.kept(directory, &key, engine, binary)?,
                        None => C::compile(engine, binary)?,
                    },
                }
            }
        });
        *shared = Arc::downgrade(&code);
        Ok(code)
    }

    /// Loads code that was compiled ahead of time. If it is not there, or cannot be used, warns.
    fn ahead<C: Compiled>(
        &self,
        ahead: &CompiledCode,
        key: &Key,
        engine: &wasmtime::Engine,
        service: &str,
    ) -> Option<C> {
        let directory = &ahead.directory;
        let read = directory.read(key).map_err(|error| error.to_string());
        let loaded = read.and_then(|code| match code {
            Some(code) => match C::load(engine, &code) {
                Ok(loaded) => Ok(Some(loaded)),
                Err(error) => Err(format!("{error:#}")),
            },
            None => Ok(None),
        });
        let again = "it is compiled at start: run `headwater compile` again, with the same FILE and flags as \
                     for serving it";
        match loaded {
            Ok(Some(loaded)) => return Some(loaded),
            Ok(None) => self.warn(format!(
                "`{}` has no compiled code for the guest of the service `{service}`: {again}",
                directory.path().display()
            )),
            Err(why) => self.warn(format!(
                "the compiled code of the service `{service}` in `{}` cannot be used ({why}): {again}",
                directory.path_of(key).display()
            )),
        }
        None
    }

    /// Loads code from the directory, or compiles it and writes it there.
    fn kept<C: Compiled>(
        &self,
        directory: &CodeDirectory,
        key: &Key,
        engine: &wasmtime::Engine,
        binary: &[u8],
    ) -> wasmtime::Result<C> {
        let read = directory.read(key).map_err(|error| error.to_string());
        let unusable = match read {
            Ok(Some(code)) => match C::load(engine, &code) {
                Ok(loaded) => return Ok(loaded),
                Err(error) => Some(format!("{error:#}")),
            },
            Ok(None) => None,
            Err(error) => Some(error),
        };
        // A guest that does not compile reports its own error.
        let compiled = C::compile(engine, binary)?;
        let written = match compiled.code() {
            Ok(code) => directory
                .write(key, &code)
                .map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error:#}")),
        };
        let file = directory.path_of(key);
        let file = file.display();
        match (unusable, written) {
            (None, Ok(())) => {}
            (Some(why), Ok(())) => self.warn(format!(
                "the compiled code in `{file}` cannot be used ({why}): the guest was compiled again, and the \
                 file was replaced"
            )),
            (Some(why), Err(error)) => self.warn(format!(
                "the compiled code in `{file}` cannot be used ({why}), and the file cannot be replaced \
                 ({error}): the guest was compiled again, and will be compiled again at the next start: \
                 remove the file, or {REMEDY}"
            )),
            (None, Err(error)) => self.warn(format!(
                "compiled code cannot be written to `{file}` ({error}), and the next start compiles the \
                 guest again: {REMEDY}"
            )),
        }
        Ok(compiled)
    }
}

// === impl Shared ===

impl<C> Shared<C> {
    fn slot(&self, key: &Key) -> Arc<Slot<C>> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(key) {
            return slot.clone();
        }
        // Slots are given out under this lock, so nobody has locked one that is only here.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().strong_count() > 0);
        slots.entry(key.clone()).or_default().clone()
    }
}

// === impl Compiled ===

impl Compiled for Component {
    const KIND: &'static str = "component";

    fn compile(engine: &wasmtime::Engine, binary: &[u8]) -> wasmtime::Result<Self> {
        Self::new(engine, binary)
    }

    fn code(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(
        unsafe_code,
        reason = "wasmtime believes what it loads. `VerifiedCode` is what this program wrote: the file \
                  belongs to its user or to root, nobody else may write to it, and each byte is covered \
                  by the checksum that was verified"
    )]
    fn load(engine: &wasmtime::Engine, code: &VerifiedCode) -> wasmtime::Result<Self> {
        // SAFETY: see above. wasmtime itself verifies that the code was made by the same version, for
        // the same machine and settings.
        unsafe { Self::deserialize_file(engine, code.path()) }
    }

    fn engine(&self) -> &wasmtime::Engine {
        self.engine()
    }

    fn shared(compiler: &Compiler) -> &Shared<Self> {
        &compiler.components
    }
}

impl Compiled for Module {
    const KIND: &'static str = "module";

    fn compile(engine: &wasmtime::Engine, binary: &[u8]) -> wasmtime::Result<Self> {
        Self::new(engine, binary)
    }

    fn code(&self) -> wasmtime::Result<Vec<u8>> {
        self.serialize()
    }

    #[expect(unsafe_code, reason = "as for components")]
    fn load(engine: &wasmtime::Engine, code: &VerifiedCode) -> wasmtime::Result<Self> {
        // SAFETY: as for components.
        unsafe { Self::deserialize_file(engine, code.path()) }
    }

    fn engine(&self) -> &wasmtime::Engine {
        self.engine()
    }

    fn shared(compiler: &Compiler) -> &Shared<Self> {
        &compiler.modules
    }
}

#[cfg(test)]
mod tests;
