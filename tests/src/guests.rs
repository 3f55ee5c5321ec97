//! Paths of the guests and of the binary.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Returns the folder in the environment variable `HEADWATER_COMPONENTS`, else `target/components`.
#[must_use]
pub fn folder() -> PathBuf {
    match env::var_os("HEADWATER_COMPONENTS") {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("target/components"),
    }
}

/// Returns the path of the component or module `NAME.wasm` (or `NAME.wat`) in [`folder`].
///
/// # Errors
///
/// Returns an error if it was not built.
pub fn guest(name: &str) -> Result<PathBuf> {
    let folder = folder();
    ["wasm", "wat"]
        .map(|extension| folder.join(name).with_extension(extension))
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "there is no guest {name} in {}; run `cargo xtask components`",
                folder.display()
            )
        })
}

/// Returns the path in the environment variable `HEADWATER_BIN`, else of the binary that Cargo
/// built beside this test.
///
/// # Errors
///
/// Returns an error if it was not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("HEADWATER_BIN") {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "HEADWATER_BIN names {}, which does not exist",
            path.display()
        );
        return Ok(path);
    }
    let this = env::current_exe().context("asking for the path of this program")?;
    // A test is in `target/PROFILE/deps`, the demo in `target/PROFILE`.
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("headwater"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no `headwater` beside {}; run `cargo build -p headwater` with the same profile, \
                 or name one in HEADWATER_BIN",
                this.display()
            )
        })
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
