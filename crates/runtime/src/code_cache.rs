//! Compiled code on disk, so that a start need not compile what an earlier one did.

use std::path::PathBuf;

use wasmtime::{Cache, CacheConfig};

/// Where compiled code is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CodeCache {
    /// In wasmtime's own folder, as `wasmtime`'s `config.toml` has it.
    #[default]
    Default,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

// === impl CodeCache ===

impl CodeCache {
    /// Opens it. A host without a home directory runs without one.
    pub(crate) fn open(&self) -> Option<Cache> {
        let config = match self {
            Self::Default => CacheConfig::from_file(None),
            Self::Folder(folder) => {
                let mut config = CacheConfig::new();
                config.with_directory(folder);
                Ok(config)
            }
            Self::Off => return None,
        };
        match config.and_then(|config| Cache::new(never_recompressing(config))) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(
                    error = format_args!("{error:#}"),
                    "compiled code is not cached on disk"
                );
                None
            }
        }
    }
}

/// By its default wasmtime compresses what was read 256 times once more, at zstd's level 20, on a
/// thread of the process that happens to read it then: for a component of 2 MiB that is 150 MiB of
/// memory and seconds of CPU, in a host that has requests to answer.
fn never_recompressing(mut config: CacheConfig) -> CacheConfig {
    config.with_optimized_compression_usage_counter_threshold(u64::MAX);
    config
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    /// What the cache has noted of the one module in it.
    fn statistics(folder: &Path) -> Option<(PathBuf, String)> {
        let entries = fs::read_dir(folder).ok()?.flatten();
        entries.map(|entry| entry.path()).find_map(|path| {
            if path.is_dir() {
                return statistics(&path);
            }
            let text = fs::read_to_string(&path).ok()?;
            path.extension()
                .is_some_and(|extension| extension == "stats")
                .then_some((path, text))
        })
    }

    /// The same, as soon as it has been read so often. Written by a thread of the cache's own, which
    /// nothing tells of.
    fn read(folder: &Path, times: u64) -> (PathBuf, String) {
        let begun = Instant::now();
        loop {
            if let Some((path, text)) = statistics(folder)
                && text.contains(&format!("usages = {times}\n"))
            {
                return (path, text);
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "not read {times} times: {:?}",
                statistics(folder)
            );
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_read_often_is_not_compressed_once_more_in_a_host_that_serves() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = wasmtime::Config::new();
        config.cache(CodeCache::Folder(folder.path().to_owned()).open());
        let engine = wasmtime::Engine::new(&config).unwrap();
        let load = || wasmtime::Module::new(&engine, "(module)").unwrap();
        load();
        let (path, written) = read(folder.path(), 1);
        assert!(written.contains("compression = 3\n"), "{written}");
        fs::write(path, written.replace("usages = 1\n", "usages = 10000\n")).unwrap();
        // The thread takes one thing after the other: when it notes the second, it is done with what
        // the first has made it do.
        load();
        load();
        let (_, noted) = read(folder.path(), 10_002);
        assert!(noted.contains("compression = 3\n"), "{noted}");
    }
}
