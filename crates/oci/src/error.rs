use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a module could not be fetched.
#[derive(Debug, Error)]
pub enum OciError {
    /// The reference does not parse.
    #[error("`{0}` is not a reference to a module in a registry: write `HOST/NAME:TAG`")]
    Reference(String),
    /// No connection could be made, or it broke.
    #[error(
        "the registry {registry} cannot be reached: check the address, and that the registry is running"
    )]
    Unreachable {
        /// The registry.
        registry: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("the registry {0} did not answer in time")]
    Timeout(String),
    /// The registry requires credentials, or different ones.
    #[error(
        "the registry {registry} denies access to `{what}` {whom}: `docker login {registry}` writes \
         credentials to ~/.docker/config.json, or to a credential helper, where Headwater finds them"
    )]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The requested item.
        what: String,
        /// The credentials used, and why others cannot be.
        whom: String,
    },
    /// The name or tag does not exist.
    #[error("the registry {registry} has no `{what}`: check the name and the tag")]
    NotFound {
        /// The registry.
        registry: String,
        /// The requested item.
        what: String,
    },
    /// Any other answer.
    #[error("the registry {registry} answered {status} when asked for `{what}`")]
    Status {
        /// The registry.
        registry: String,
        /// The requested item.
        what: String,
        /// The answer.
        status: u16,
    },
    /// An answer is malformed.
    #[error("the registry {registry} answered with {problem} for `{what}`")]
    Malformed {
        /// The registry.
        registry: String,
        /// The requested item.
        what: String,
        /// The problem.
        problem: String,
    },
    /// The artifact has no WebAssembly module.
    #[error(
        "`{reference}` holds no WebAssembly module (its layers are {found}): push the module as a layer of \
         type {}",
        crate::manifest::WAGI_LAYER
    )]
    NoModule {
        /// The reference.
        reference: String,
        /// The types of its layers.
        found: String,
    },
    /// The cache cannot be written.
    #[error("the module cache {} cannot be used: {source}: name another folder with --module-cache", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}
