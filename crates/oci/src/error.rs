use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a module could not be fetched.
#[derive(Debug, Error)]
pub enum OciError {
    /// The reference does not parse.
    #[error("`{0}` is no reference to a module in a registry: write `HOST/NAME:TAG`")]
    Reference(String),
    /// No connection, or it broke.
    #[error("the registry {registry} cannot be reached: is the address right, and is it up?")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("the registry {0} did not answer in time")]
    Timeout(String),
    /// The registry wants credentials, or others.
    #[error(
        "the registry {registry} does not give `{what}` to {whom}: `docker login {registry}` writes \
         credentials to ~/.docker/config.json, or to a credential helper, where they are looked for"
    )]
    Unauthorized {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// As whom.
        whom: &'static str,
    },
    /// There is no such name or tag.
    #[error("the registry {registry} has no `{what}`: check the name and the tag")]
    NotFound {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// Any other answer.
    #[error("the registry {registry} answered {status} when asked for `{what}`")]
    Status {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The answer.
        status: u16,
    },
    /// An answer that makes no sense.
    #[error("the registry {registry} gave {problem} for `{what}`")]
    Malformed {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no WebAssembly in it.
    #[error(
        "`{reference}` holds no WebAssembly module (its layers are {found}): push it as a layer of type \
         {}",
        crate::manifest::WAGI_LAYER
    )]
    NoModule {
        /// The reference.
        reference: String,
        /// The layers that there are.
        found: String,
    },
    /// The cache cannot be written.
    #[error("the module cache {} cannot be used: {source}: name another folder with --module-cache", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
