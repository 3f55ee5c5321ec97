//! The Rust toolchain for the guests.

mod from_debian;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::clang::Clang;
use crate::debian;
use crate::guest::{Guest, Kind};
use crate::process::{self, say};
use crate::workspace::{self, Workspace};
use from_debian::FromDebian;

/// The targets of components and of WAGI modules.
const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// The environment variable that selects the toolchain.
const CHOICE: &str = "HEADWATER_TOOLCHAIN";

pub(crate) enum Rust {
    /// The Rust that xtask itself is built with. It has the wasm targets: the authors of guests use
    /// this.
    Installed,
    /// Debian's packages for the web, which can build the standard library for wasm.
    Debian(FromDebian),
}

impl Rust {
    /// Returns the installed Rust if it has or can get the wasm targets, else Debian's.
    pub(crate) fn find_or_install(clang: &Clang) -> Result<Self> {
        match std::env::var(CHOICE).as_deref() {
            Ok("rustup") => return Self::installed().map(|()| Self::Installed),
            Ok("debian") => return FromDebian::find_or_install(clang).map(Self::Debian),
            Ok(other) => bail!("{CHOICE} is `{other}`, but must be `rustup` or `debian`"),
            Err(_) => {}
        }
        let Err(problem) = Self::installed() else {
            return Ok(Self::Installed);
        };
        if !debian::is_here() {
            return Err(problem);
        }
        say(format!("{problem:#}"));
        say("falling back to Debian's Rust for the guests");
        FromDebian::find_or_install(clang).map(Self::Debian)
    }

    /// Installs the targets for the installed Rust if they are missing.
    pub(crate) fn installed() -> Result<()> {
        let missing: Vec<&str> = TARGETS.into_iter().filter(|target| !has(target)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = missing.join(" ");
        let by_hand = format!(
            "Add them where rustup's server can be reached: rustup target add {list} \
             (rustup: https://rustup.rs)"
        );
        if !process::succeeds(Command::new("rustup").arg("--version")) {
            bail!("this Rust lacks the targets {list}, and rustup is not installed. {by_hand}");
        }
        say(format!("adding Rust's targets {list}"));
        process::run(
            Command::new("rustup")
                .args(["target", "add"])
                .args(&missing),
            &by_hand,
        )?;
        // The build may use another toolchain than rustup's active one.
        if let Some(target) = missing.into_iter().find(|target| !has(target)) {
            bail!(
                "rustup added {target}, but `{}` still lacks it, because it belongs to another toolchain: \
                 run xtask with rustup's active toolchain",
                rustc()
            );
        }
        Ok(())
    }

    /// Builds a guest and returns the path.
    pub(crate) fn build(&self, workspace: &Workspace, guest: &Guest) -> Result<PathBuf> {
        match self {
            Self::Installed => {
                let target = guest.kind.rust_target()?;
                let folder = workspace.target.join("guests");
                let mut command = workspace::cargo();
                command.args([
                    "build",
                    "--release",
                    "--target",
                    target,
                    "--package",
                    &guest.name,
                ]);
                let command = for_guests(&mut command, workspace, &folder);
                process::run(command, "Cargo's message above says where.")?;
                Ok(folder.join(target).join("release").join(guest.file()))
            }
            Self::Debian(rust) => rust.build(workspace, guest),
        }
    }

    /// Returns the version in one line.
    pub(crate) fn version(&self) -> Result<String> {
        let version = |program: &str| process::read(Command::new(program).arg("--version"));
        Ok(match self {
            Self::Installed => format!("{} with {}", version(&rustc())?.trim(), TARGETS.join(", ")),
            Self::Debian(_) => format!("{} from Debian", version(from_debian::RUSTC)?.trim()),
        })
    }
}

impl Kind {
    pub(crate) fn rust_target(self) -> Result<&'static str> {
        match self {
            Self::Component => Ok(TARGETS[0]),
            Self::Command => Ok(TARGETS[1]),
            _ => bail!("only guests in Rust are built by Cargo"),
        }
    }
}

impl Guest {
    /// Returns the name of the file that Cargo builds.
    fn file(&self) -> String {
        let name = match self.kind {
            // A library's file is named like its crate.
            Kind::Component => self.name.replace('-', "_"),
            _ => self.name.clone(),
        };
        format!("{name}.wasm")
    }
}

/// Configures Cargo for guests rather than for the host's programs.
pub(crate) fn for_guests<'a>(
    command: &'a mut Command,
    workspace: &Workspace,
    target_folder: &Path,
) -> &'a mut Command {
    // Settings for programs of this machine are wrong for wasm.
    for variable in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
    ] {
        command.env_remove(variable);
    }
    command
        .current_dir(workspace.guests())
        .env("CARGO_TARGET_DIR", target_folder)
}

/// Returns true if the installed Rust has the standard library for a target.
fn has(target: &str) -> bool {
    let mut command = Command::new(rustc());
    command.args(["--print", "target-libdir", "--target", target]);
    let folder = process::read(&mut command).context("asking rustc for its libraries");
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn rustc() -> String {
    std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}
