use std::io;
use std::path::PathBuf;

use headwater_runtime::{EngineError, TooLarge};
use thiserror::Error;

use crate::unknown_imports::UnknownImports;

/// The reason why a module cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WagiError {
    /// The engine could not be created.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Not a core module that this engine compiles.
    #[error("{service}: not a WebAssembly module: build it for wasm32-wasip1 (or wasm32-wasi)")]
    Compile {
        /// The service.
        service: String,
        /// The error of the compiler.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One instance of the module takes more than the engine has.
    #[error("{service}: {source}")]
    Places {
        /// The service.
        service: String,
        /// What the instance takes.
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
    /// The module is the core of a component: the compiler's output before it is made a component.
    #[error(
        "{service}: the module is the core of a component (it {shown_by}), not a complete program: \
         build it for wasm32-wasip2, which makes a component from it, or run `wasm-tools component new`; \
         then serve the component"
    )]
    ComponentCore {
        /// The service.
        service: String,
        /// The sign that the module is not a program by itself.
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
        /// The name of the missing export.
        entrypoint: String,
        /// The functions that are exported, or `none`.
        exports: String,
    },
    /// The entrypoint is not a function of type `() -> ()`.
    #[error(
        "{service}: the export `{entrypoint}` is {found}, but an entrypoint must be a function without \
         parameters and results: set `entrypoint` to another export"
    )]
    EntrypointType {
        /// The service.
        service: String,
        /// The export.
        entrypoint: String,
        /// A description of the export.
        found: String,
    },
    /// The module has imports that no WAGI module can have.
    #[error("{service}: the module imports what Headwater does not offer:{imports}")]
    UnknownImports {
        /// The service.
        service: String,
        /// All of them, each with the remedy.
        imports: UnknownImports,
    },
    /// The imports do not fit: for example, a WASI function has another type.
    #[error(
        "{service}: the module's imports do not fit WASI preview1: rebuild it for wasm32-wasip1"
    )]
    Link {
        /// The service.
        service: String,
        /// The mismatch.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The module starts with more memory than an instance may have.
    #[error(
        "{service}: the module starts with {needed} bytes of memory, but the limit of an instance is \
         {limit}: raise `memory` of the service, or --memory if the service does not set it"
    )]
    Memory {
        /// The service.
        service: String,
        /// The memory that the module starts with, in bytes.
        needed: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A volume's directory cannot be used.
    #[error("{service}: the volume `{guest}` cannot be opened: {}: create the directory, or set another one", host.display())]
    Volume {
        /// The service.
        service: String,
        /// The volume's name in the guest.
        guest: String,
        /// The directory.
        host: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}
