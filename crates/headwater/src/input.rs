//! Reads FILE of a command line.

use std::io::ErrorKind;
use std::path::Path;

use crate::diagnostics::{Diagnostic, Kind, Position};

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| {
        let shown = path.display();
        let message = match error.kind() {
            _ if path == Path::new("-") => {
                "standard input cannot be served, because a reload reads the file again: write it to a file, \
                 and name that; `headwater check /dev/stdin` checks it"
                    .to_owned()
            }
            ErrorKind::IsADirectory => directory(path),
            _ => format!("cannot read `{shown}`: {error}: check the path and its permissions"),
        };
        Diagnostic::new(Kind::File, Position::default(), message)
    })
}

/// Returns true if the content can be read again: it is not that of a pipe.
pub(crate) fn is_in_file(path: &Path) -> bool {
    path.is_file()
}

fn directory(path: &Path) -> String {
    let shown = path.display();
    let has = |name: &str| path.join(name).is_file();
    if has("headwater.toml") {
        let file = path.join("headwater.toml");
        return format!(
            "`{shown}` is a directory: name the file, `{}`",
            file.display()
        );
    }
    if has("modules.toml") {
        let file = path.join("modules.toml");
        let file = file.display();
        return format!("`{shown}` is a directory: serve its file with `headwater wagi -c {file}`");
    }
    format!("`{shown}` is a directory: name a file in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| read(path).unwrap_err().to_string();
        assert!(told(folder.path()).ends_with("is a directory: name a file in it"));
        for (name, words) in [
            ("modules.toml", "with `headwater wagi -c "),
            ("headwater.toml", "name the file, `"),
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
            let told = told(folder.path());
            assert!(told.contains(words) && told.contains(name), "{told}");
        }
        let told = told(&folder.path().join("none"));
        assert!(told.contains("none`: No such file"), "{told}");
        assert!(
            read(Path::new("-"))
                .unwrap_err()
                .message
                .contains("/dev/stdin")
        );
    }
}
