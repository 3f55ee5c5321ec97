use std::path::PathBuf;

use crate::action::Hooks;
use crate::engine::EngineError;
use crate::interface_name::InterfaceName;
use crate::missing_imports::MissingImports;
use crate::one_line::one_line;
use crate::places::TooLarge;

/// The reason why a component cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No engine could be made for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It does not compile.
    #[error("it is not a valid component: {0}; if the file was cut or damaged, build it again")]
    Invalid(String),
    /// One instance of it needs more than the engine gives to one.
    #[error(
        "an instance of it takes more than an instance may have: {0}; compose it of fewer \
         components, or serve them one by one"
    )]
    TooLarge(String),
    /// One instance of it needs more than there is.
    #[error(transparent)]
    Places(#[from] TooLarge),
    /// It has another world.
    #[error(
        "it exports no HTTP handler: `wasi:http/handler@0.3` (world `wasi:http/service`) or \
         `wasi:http/incoming-handler@0.2` (world `wasi:http/proxy`) was expected, and it exports \
         {0}"
    )]
    World(String),
    /// It is a program that runs once, as this export shows.
    #[error(
        "it is a command, which runs once and ends (it exports `{0}`), not an HTTP handler: to serve it \
         as a WAGI module, build it for wasm32-wasip1; a component that is served exports \
         `wasi:http/handler@0.3` or `wasi:http/incoming-handler@0.2`"
    )]
    Command(String),
    /// It was built for a pre-release of WASI.
    #[error(
        "it was built for a release candidate of WASI (`{0}`), and Headwater serves the releases 0.2 and \
         0.3: {remedy}", remedy = again(.0)
    )]
    ReleaseCandidate(String),
    /// It cannot stand in front of another.
    #[error("it cannot be a middleware: {0}")]
    NoMiddleware(NoMiddleware),
    /// It is an action component, and cannot answer requests.
    #[error(
        "it exports hooks of a middleware ({0}), and no HTTP handler, so it cannot answer requests: name it in a \
         `[[middleware]]`, or by `--middleware`"
    )]
    ActionService(Hooks),
    /// It exports a hook with another type.
    #[error(
        "it exports `{0}` with another type than Headwater calls: build it with the WIT files in \
         `wit/smg-gateway` and `wit/headwater-middleware`"
    )]
    Hook(String),
    /// It imports interfaces that Headwater does not offer.
    #[error(
        "it imports what Headwater does not offer:{0}\nbuild it without these, or compose it with \
         components that export them"
    )]
    Missing(MissingImports),
    /// It imports something with a type that differs from Headwater's.
    #[error(
        "it imports something in a form that Headwater does not offer: {0}; build it again with a \
         current toolchain"
    )]
    Import(String),
    /// A granted directory cannot be opened.
    #[error("cannot open the directory `{}` for the guest: {error}; check that it is there", path.display())]
    Directory {
        /// The directory on the host.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
}

/// The reason why a component cannot be a middleware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMiddleware {
    /// It is written for `wasi:http/proxy@0.2`.
    #[error(
        "it is written for the world `wasi:http/proxy@0.2`, and WASI 0.2 has no middleware; build it for \
         `wasi:http/middleware@0.3`"
    )]
    Proxy,
    /// It does not import the handler behind it.
    #[error(
        "it does not import `wasi:http/handler@0.3`, so it could not call what is behind it; build it for the \
         world `wasi:http/middleware@0.3`, or serve it as a service"
    )]
    Service,
}

impl LoadError {
    /// Returns the reason why a component did not compile.
    pub(crate) fn of_compilation(error: &wasmtime::Error) -> Self {
        let cause = one_line(error);
        // wasmtime has no type for exceeded engine limits; all of those messages name the allocator
        // that has the limits.
        if cause.contains("pooling allocator") {
            Self::TooLarge(cause)
        } else {
            Self::Invalid(cause)
        }
    }
}

/// Returns the advice how to build for the release instead of this release candidate.
fn again(candidate: &str) -> &'static str {
    match InterfaceName::parse(candidate).version {
        Some(version) if version.starts_with("0.3.") => {
            "build it again with a current toolchain; in Rust, update `wasip3`"
        }
        _ => "build it again for WASI 0.2 with a current toolchain; in Rust, for wasm32-wasip2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_candidate_is_built_again_for_its_own_release() {
        let told = |name: &str| LoadError::ReleaseCandidate(name.to_owned()).to_string();
        let third = told("wasi:http/types@0.3.0-rc-2025-09-16");
        assert!(third.contains("`wasip3`"), "{third}");
        let second = told("wasi:http/types@0.2.0-rc-2023-11-10");
        assert!(
            second.contains("for WASI 0.2") && !second.contains("wasip3"),
            "{second}"
        );
    }
}
