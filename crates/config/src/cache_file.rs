use std::path::PathBuf;

use serde::Deserialize;

/// The settings of a `cache.toml`, which told WAGI where to keep compiled code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFile {
    /// True if compiled code is kept.
    pub enabled: bool,
    /// The folder; `None` stands for wasmtime's own.
    pub directory: Option<PathBuf>,
    /// Other keys, which have no effect: wasmtime's defaults apply.
    pub ignored: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    cache: Table,
}

#[derive(Deserialize)]
struct Table {
    #[serde(default = "yes")]
    enabled: bool,
    directory: Option<PathBuf>,
    #[serde(flatten)]
    others: toml::Table,
}

const fn yes() -> bool {
    true
}

impl CacheFile {
    /// Reads the text of a `cache.toml`.
    ///
    /// # Errors
    ///
    /// Returns an error with the line, the column and the text there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Document { cache } =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        Ok(Self {
            enabled: cache.enabled,
            directory: cache.directory,
            ignored: cache.others.into_iter().map(|(key, _)| key).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_toml_says_where_compiled_code_is_kept() {
        let file = CacheFile::parse(
            "[cache]\nenabled = true\ndirectory = \"/c\"\ncleanup-interval = \"1d\"\n",
        );
        let file = file.unwrap();
        assert!(file.enabled);
        assert_eq!(file.directory, Some(PathBuf::from("/c")));
        assert_eq!(file.ignored, ["cleanup-interval"]);
        assert!(
            !CacheFile::parse("[cache]\nenabled = false\n")
                .unwrap()
                .enabled
        );
        assert!(CacheFile::parse("[cache]\n").unwrap().enabled);
        assert!(CacheFile::parse("[cash]\n").unwrap_err().contains("cache"));
    }
}
