use std::io;
use std::path::PathBuf;

use headwater_runtime::{EngineError, TooLarge};
use thiserror::Error;

use crate::unknown_imports::UnknownImports;

/// Why a module cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WagiError {
    /// There is no engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Not a core module that this engine compiles.
    #[error("{service}: not a WebAssembly module: build it for wasm32-wasip1 (or wasm32-wasi)")]
    Compile {
        /// The service.
        service: String,
        /// What the compiler says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One instance of it takes more than there is.
    #[error("{service}: {source}")]
    Places {
        /// The service.
        service: String,
        /// What it takes.
        source: TooLarge,
    },
    /// A component, not a core module.
    #[error(
        "{service}: a component, not a core module: serve it as a component, or build the program \
         for wasm32-wasip1 to run it as a WAGI module"
    )]
    Component {
        /// The service.
        service: String,
    },
    /// The core of a component: what a compiler makes of it before it is made a component.
    #[error(
        "{service}: the module is the core of a component (it {shown_by}), and no program by itself: \
         build it for wasm32-wasip2, which makes a component of it, or have `wasm-tools component new` do \
         that; then serve the component"
    )]
    ComponentCore {
        /// The service.
        service: String,
        /// What the module does that no program by itself does.
        shown_by: String,
    },
    /// The entrypoint is not exported.
    #[error(
        "{service}: the module does not export its entrypoint `{entrypoint}` (exported functions: \
         {exports}): build a command rather than a library, or set `entrypoint` to one of these"
    )]
    NoEntrypoint {
        /// The service.
        service: String,
        /// The export that was looked for.
        entrypoint: String,
        /// The functions that there are, or `none`.
        exports: String,
    },
    /// The entrypoint is something else than a function of type `() -> ()`.
    #[error(
        "{service}: the export `{entrypoint}` is {found}, and an entrypoint is a function without \
         parameters and results: set `entrypoint` to another export"
    )]
    EntrypointType {
        /// The service.
        service: String,
        /// The export.
        entrypoint: String,
        /// What it is.
        found: String,
    },
    /// Imports that no WAGI module can have.
    #[error("{service}: the module imports what Headwater does not offer:{imports}")]
    UnknownImports {
        /// The service.
        service: String,
        /// All of them, each with what to do.
        imports: UnknownImports,
    },
    /// The imports do not fit: such as a WASI function of another type.
    #[error(
        "{service}: the module's imports do not fit WASI preview1: rebuild it for wasm32-wasip1"
    )]
    Link {
        /// The service.
        service: String,
        /// What does not fit.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The module starts with more memory than an instance may have.
    #[error(
        "{service}: the module starts with {needed} bytes of memory, and an instance may have \
         {limit}: `memory` of the service, or --memory if the service does not set it, gives it more"
    )]
    Memory {
        /// The service.
        service: String,
        /// What the module starts with, in bytes.
        needed: u64,
        /// The bound, in bytes.
        limit: usize,
    },
    /// A volume's directory cannot be used.
    #[error("{service}: the volume `{guest}` cannot be opened: {}: create the directory, or name another", host.display())]
    Volume {
        /// The service.
        service: String,
        /// The volume's name in the guest.
        guest: String,
        /// The directory.
        host: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}
