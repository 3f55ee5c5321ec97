//! Recognises core modules that are the core of a component and not programs by themselves.

use wasmtime::wasmparser::{Parser, Payload};

use crate::interface_name::InterfaceName;

/// Returns the sign that a module is the core of a component, such as ``imports `wasi:http/types@0.3.0` ``. A
/// `wasi:http` program built for `wasm32-wasip1` is one.
///
/// A WAGI module may be linked with a library for components and have its custom sections or its `cabi_realloc`.
/// So only imports from and exports to interfaces count.
pub fn component_core<'a>(
    imported_modules: impl IntoIterator<Item = &'a str>,
    exports: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let is_interface = |name: &&str| InterfaceName::parse(name).package().is_some();
    let function = exports
        .into_iter()
        // The prefix before the interface says how the function is lifted.
        .map(|name| name.rsplit_once(']').map_or(name, |(_, name)| name))
        .find(|name| {
            let parts = name.split_once('#');
            parts.is_some_and(|(interface, _)| is_interface(&interface))
        });
    if let Some(function) = function {
        return Some(format!("exports `{function}`"));
    }
    imported_modules
        .into_iter()
        // The resources and tasks that the component itself exports.
        .map(|module| module.trim_start_matches("[export]"))
        .find(is_interface)
        .map(|module| format!("imports `{module}`"))
}

/// Does the same for a module in binary form.
#[must_use]
pub fn component_core_of(binary: &[u8]) -> Option<String> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Parse errors are reported when the module is compiled.
    for payload in Parser::new(0).parse_all(binary).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                let section = section.into_imports().flatten();
                imports.extend(section.map(|import| import.module));
            }
            Payload::ExportSection(section) => {
                let section = section.into_iter().flatten();
                exports.extend(section.map(|export| export.name));
            }
            _ => {}
        }
    }
    component_core(imports, exports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        component_core_of(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn what_it_exports_or_imports_of_interfaces_shows_the_core_of_a_component() {
        let imports =
            r#"(import "wasi:http/types@0.3.2" "[constructor]fields" (func (result i32)))"#;
        assert_eq!(
            of(&format!("(module {imports})")).as_deref(),
            Some("imports `wasi:http/types@0.3.2`")
        );
        for name in [
            "wasi:http/incoming-handler@0.2.0#handle",
            "[async-lift]wasi:http/incoming-handler@0.2.0#handle",
        ] {
            let module = format!("(module {imports} (func (export \"{name}\")))");
            assert_eq!(
                of(&module).as_deref(),
                Some("exports `wasi:http/incoming-handler@0.2.0#handle`")
            );
        }
    }

    #[test]
    fn a_program_by_itself_is_none() {
        assert_eq!(
            of(r#"(module
                (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (import "env/x" "y" (func))
                (func (export "_start"))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#),
            None
        );
    }
}
