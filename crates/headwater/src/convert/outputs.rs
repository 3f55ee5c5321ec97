//! Checks that the host's output files can be written, without creating or opening them.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use rustix::fs::{Access, access};

use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::spec::config_location::ConfigLocations;

/// A file that a host appends to.
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    /// The section and the key that name it.
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) flag: &'static str,
}

/// Reports the files that cannot be written.
pub(crate) fn check(outputs: &[Output], locations: &ConfigLocations, found: &mut Diagnostics) {
    for output in outputs {
        let place = match locations.says(output.section, output.key) {
            true => locations.section(output.section, output.key),
            false => Position::entry(output.flag),
        };
        if let Err(error) = appendable(&output.path) {
            found.error(Diagnostic::of(Kind::Output, place, &error));
        }
    }
}

fn appendable(path: &Path) -> Result<()> {
    let shown = path.display();
    if let Ok(found) = std::fs::metadata(path) {
        ensure!(
            !found.is_dir(),
            "`{shown}` is a directory: name a file in it"
        );
        ensure!(
            may(path, Access::WRITE_OK),
            "`{shown}` may not be written to: change its permissions, or name another file"
        );
        return Ok(());
    }
    can_be_made(path).map_err(|error| anyhow!("`{shown}` cannot be written: {error}"))
}

pub(crate) fn can_be_made(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let shown = folder.display();
    ensure!(
        folder.is_dir(),
        "there is no directory `{shown}`: create it, or choose another path"
    );
    ensure!(
        may(folder, Access::WRITE_OK | Access::EXEC_OK),
        "no file can be created in `{shown}`: change its permissions, or choose another path"
    );
    Ok(())
}

fn may(path: &Path, what: Access) -> bool {
    access(path, what).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_can_be_written_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::write(&there, "lines").unwrap();
        appendable(&there).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "lines");
        let not_there = folder.path().join("not there");
        appendable(&not_there).unwrap();
        assert!(!not_there.exists());
        appendable(Path::new("beside")).unwrap();
        appendable(Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn one_that_cannot_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| appendable(path).unwrap_err().to_string();
        let told = error(folder.path());
        assert!(told.contains("is a directory: name a file"), "{told}");
        let told = error(&folder.path().join("none/file"));
        assert!(
            told.contains("there is no directory") && told.contains("none`"),
            "{told}"
        );
    }
}
