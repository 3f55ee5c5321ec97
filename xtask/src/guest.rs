//! Finds the guests in `components/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A guest: a folder in `components/`. The files in the folder determine its kind, so a new guest
/// needs no change here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The name of the folder and of the built file.
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Rust library of type `cdylib`: a component.
    Component,
    /// A Rust program, `src/main.rs`: a WAGI module.
    Command,
    /// A C program, `main.c`: a WAGI module.
    C,
    /// A C program, `main.c`, with its world in `wit`: a component.
    CComponent,
    /// A module in the text format, `main.wat`.
    Text,
    /// A Go program, `main.go`: a WAGI module.
    Go,
    /// A Zig program, `main.zig`: a WAGI module.
    Zig,
    /// An AssemblyScript program, `main.ts`: a WAGI module.
    AssemblyScript,
    /// A module from a Python package, named in `wheel.txt`: an interpreter.
    Shipped,
    /// A Python program, `app.py`, with its world `headwater:NAME/service` in `wit`: a component.
    Python,
}

/// All guests, sorted by name, and the Rust libraries that they share.
pub(crate) struct Guests {
    pub(crate) guests: Vec<Guest>,
    pub(crate) libraries: Vec<PathBuf>,
}

impl Guests {
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let mut found = Self {
            guests: Vec::new(),
            libraries: Vec::new(),
        };
        let entries =
            fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut folders = entries
            .map(|e| Ok(e?.path()))
            .collect::<Result<Vec<PathBuf>>>()?;
        folders.sort();
        for folder in folders {
            let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            match Kind::of(&folder)? {
                Some(kind) => {
                    let name = name.to_owned();
                    found.guests.push(Guest { name, folder, kind });
                }
                None if folder.join("Cargo.toml").is_file() => found.libraries.push(folder),
                None => {}
            }
        }
        Ok(found)
    }
}

impl Kind {
    fn of(folder: &Path) -> Result<Option<Self>> {
        let manifest = folder.join("Cargo.toml");
        Ok(if manifest.is_file() {
            let text = fs::read_to_string(&manifest)
                .with_context(|| format!("reading {}", manifest.display()))?;
            if text.contains("\"cdylib\"") {
                Some(Self::Component)
            } else {
                folder
                    .join("src/main.rs")
                    .is_file()
                    .then_some(Self::Command)
            }
        } else {
            [
                ("main.c", Self::in_c(folder)),
                ("main.wat", Self::Text),
                ("main.go", Self::Go),
                ("main.zig", Self::Zig),
                ("main.ts", Self::AssemblyScript),
                // An interpreter may also have an `app.py`.
                ("wheel.txt", Self::Shipped),
                ("app.py", Self::Python),
            ]
            .into_iter()
            .find(|(file, _)| folder.join(file).is_file())
            .map(|(_, kind)| kind)
        })
    }

    fn in_c(folder: &Path) -> Self {
        match folder.join("wit").is_dir() {
            true => Self::CComponent,
            false => Self::C,
        }
    }

    /// Returns true if its compiler may be missing: it comes from a registry that is not needed
    /// otherwise, and without it the tests of such a guest are skipped.
    pub(crate) fn is_optional(self) -> bool {
        matches!(
            self,
            Self::Go | Self::Zig | Self::AssemblyScript | Self::Shipped | Self::Python
        )
    }

    /// Returns true if it is written in C.
    pub(crate) fn is_c(self) -> bool {
        matches!(self, Self::C | Self::CComponent)
    }

    /// Returns true if it is written in Rust.
    pub(crate) fn is_rust(self) -> bool {
        matches!(self, Self::Component | Self::Command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_guest_that_its_files_make_it() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/Cargo.toml", "[lib]\ncrate-type = [\"cdylib\"]");
        write("b/Cargo.toml", "[package]");
        write("b/src/main.rs", "");
        write("c/main.c", "");
        write("d/main.wat", "");
        write("e/main.go", "");
        write("f/main.zig", "");
        write("g/main.ts", "");
        write("h/app.py", "");
        write("h/wheel.txt", "");
        write("i/app.py", "");
        write("j/main.c", "");
        write("j/wit/world.wit", "");
        write("shared/Cargo.toml", "[package]");
        write("target/CACHEDIR.TAG", "");
        write("README.md", "");

        let found = Guests::find(root.path()).unwrap();
        let kinds: Vec<_> = found
            .guests
            .iter()
            .map(|g| (g.name.as_str(), g.kind))
            .collect();
        let expected = [
            ("a", Kind::Component),
            ("b", Kind::Command),
            ("c", Kind::C),
            ("d", Kind::Text),
            ("e", Kind::Go),
            ("f", Kind::Zig),
            ("g", Kind::AssemblyScript),
            ("h", Kind::Shipped),
            ("i", Kind::Python),
            ("j", Kind::CComponent),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(found.libraries, [root.path().join("shared")]);
    }
}
