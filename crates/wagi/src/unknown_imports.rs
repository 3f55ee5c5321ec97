//! Finds the imports of a module that Headwater does not offer.

use std::fmt;

use wasmtime::{FuncType, Linker, Module};

/// Imports of a module that Headwater does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownImports(Vec<UnknownImport>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct UnknownImport {
    module: String,
    name: String,
}

// === impl UnknownImports ===

impl UnknownImports {
    /// Collects the unknown imports of this module. The list is empty if the linker has a
    /// definition of each name; then the type of one differs.
    pub(crate) fn of<T: 'static>(module: &Module, linker: &Linker<T>) -> Self {
        let mut linker = linker.clone();
        linker.allow_shadowing(false);
        let nothing = FuncType::new(module.engine(), [], []);
        let mut unknown = Vec::new();
        for import in module.imports() {
            let (module, name) = (import.module(), import.name());
            // A linker does not list its definitions, but refuses to define a name twice. This also
            // reports a name that is imported twice only once.
            if linker
                .func_new(module, name, nothing.clone(), |_, _, _| Ok(()))
                .is_ok()
            {
                unknown.push(UnknownImport {
                    module: module.to_owned(),
                    name: name.to_owned(),
                });
            }
        }
        Self(unknown)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for UnknownImports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for UnknownImport { module, name } in &self.0 {
            let remedy = match module.as_str() {
                "wasi_experimental_http" => {
                    "which is not a function of WAGI's outgoing HTTP: rebuild the module with its version 0.10"
                }
                "wasi_snapshot_preview1" | "wasi_unstable" => {
                    "which is not a function of WASI: rebuild the module with a current toolchain"
                }
                _ => "which is not part of WASI preview1: build the module without it",
            };
            write!(f, "\n  `{module}` `{name}`, {remedy}")?;
        }
        Ok(())
    }
}
