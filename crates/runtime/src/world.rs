use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::wasmparser::{CanonicalFunction, CanonicalOption, ComponentType, Parser, Payload};

use crate::action::Hooks;
use crate::interface_name::InterfaceName;

/// The world that a component is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// `wasi:http/service@0.3`: exports `wasi:http/handler`, asynchronous, may be entered by many
    /// requests at once.
    Service,
    /// `wasi:http/proxy@0.2`: exports `wasi:http/incoming-handler`, one request at a time.
    Proxy,
    /// An action component: exports hooks that tell the host what to do with a request, one call at a
    /// time.
    Action,
}

impl World {
    /// Returns the world for the component's exports; `None` if it exports neither an HTTP handler nor a
    /// hook.
    #[must_use]
    pub fn of(component: &Component) -> Option<Self> {
        let handler = exports(component).iter().find_map(|name| {
            let name = InterfaceName::parse(name);
            match name.interface {
                "wasi:http/handler" if name.is_compatible("0.3.0") => Some(Self::Service),
                "wasi:http/incoming-handler" if name.is_compatible("0.2.0") => Some(Self::Proxy),
                _ => None,
            }
        });
        handler.or_else(|| (!Hooks::of(component).is_empty()).then_some(Self::Action))
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "wasi:http/service@0.3",
            Self::Proxy => "wasi:http/proxy@0.2",
            Self::Action => "action",
        })
    }
}

pub(crate) fn exports(component: &Component) -> Vec<String> {
    let engine = component.engine();
    component
        .component_type()
        .exports(engine)
        .map(|(name, item)| match item.ty {
            ComponentItem::ComponentFunc(_) => format!("{name} (function)"),
            _ => name.to_owned(),
        })
        .collect()
}

/// Returns true if a component imports the handler behind it, as a middleware does.
pub(crate) fn imports_next(component: &Component) -> bool {
    let engine = component.engine();
    let ty = component.component_type();
    ty.imports(engine).any(|(name, _)| {
        let name = InterfaceName::parse(name);
        name.interface == "wasi:http/handler" && name.is_compatible("0.3.0")
    })
}

/// Returns an interface that Headwater offers, and that a component imports or exports in a version
/// before its release.
pub(crate) fn release_candidate(component: &Component) -> Option<String> {
    let engine = component.engine();
    let ty = component.component_type();
    let imports = ty.imports(engine).map(|(name, _)| name);
    let exports = ty.exports(engine).map(|(name, _)| name);
    // Exports first: they say more about the component.
    exports
        .chain(imports)
        .find(|name| InterfaceName::parse(name).release_candidate().is_some())
        .map(str::to_owned)
}

/// Returns true if a component was composed of several: if a component nested in it has code of its
/// own.
///
/// In a composed component a task of another part can make a guest's call, and wasmtime 48's call
/// stack cannot be trusted (wasmtime issue 14247). Components nested without code do not count:
/// toolchains use them to give exports their types.
pub(crate) fn is_composed(binary: &[u8]) -> bool {
    // `parse_all` descends into nested components; a section that does not parse is reported when
    // the component is compiled.
    let mut nesting: Vec<Nested> = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        match payload {
            Ok(Payload::ComponentSection { .. }) => nesting.push(Nested::Component),
            Ok(Payload::ModuleSection { .. }) => {
                if nesting.contains(&Nested::Component) {
                    return true;
                }
                nesting.push(Nested::Module);
            }
            // Each nested module and component has an end of its own; the last is the whole's.
            Ok(Payload::End(_)) => {
                nesting.pop();
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Returns true if one of a composed component's parts may be called synchronously by another: it has
/// a function that is lifted without `async`, or a resource's destructor.
pub(crate) fn calls_synchronously(binary: &[u8]) -> bool {
    Parser::new(0)
        .parse_all(binary)
        .any(|payload| match payload {
            Ok(Payload::ComponentCanonicalSection(functions)) => {
                functions.into_iter().any(|function| match function {
                    Ok(CanonicalFunction::Lift { options, .. }) => {
                        !options.contains(&CanonicalOption::Async)
                    }
                    Ok(_) => false,
                    Err(_) => true,
                })
            }
            Ok(Payload::ComponentTypeSection(types)) => types.into_iter().any(|ty| {
                !matches!(&ty, Ok(ty) if !matches!(ty, ComponentType::Resource { dtor: Some(_), .. }))
            }),
            Ok(_) => false,
            // Compilation reports it.
            Err(_) => true,
        })
}

#[derive(PartialEq)]
enum Nested {
    Component,
    Module,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(text: &str) -> bool {
        is_composed(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_component_with_code_inside_a_component_is_composed() {
        assert!(composed(
            "(component (component $inner (core module)) (core module))"
        ));
        assert!(composed(
            "(component (component (component (core module))))"
        ));
    }

    #[test]
    fn a_function_lifted_without_async_or_a_destructor_is_called_synchronously() {
        let calls = |text: &str| calls_synchronously(&wat::parse_str(text).unwrap());
        let lifted = |kind: &str, options: &str| {
            format!(
                "(component (component
                   (core module $m (func (export \"f\")) (func (export \"a\") (result i32) unreachable)
                     (func (export \"b\") (param i32 i32 i32) (result i32) unreachable))
                   (core instance $i (instantiate $m))
                   (func (export \"f\") {kind} (canon lift {options}))))"
            )
        };
        assert!(calls(&lifted("", "(core func $i \"f\")")));
        assert!(!calls(&lifted(
            "async",
            "(core func $i \"a\") async (callback (core func $i \"b\"))"
        )));
        assert!(!calls(
            "(component (component (type (resource (rep i32)))))"
        ));
        assert!(calls(
            "(component (component (core module $m (func (export \"f\") (param i32)))
               (core instance $i (instantiate $m)) (alias core export $i \"f\" (core func $f))
               (type (resource (rep i32) (dtor (core func $f))))))"
        ));
    }

    #[test]
    fn modules_and_code_less_shims_do_not_make_a_composition() {
        assert!(!composed("(component)"));
        assert!(!composed("(component (core module) (core module))"));
        assert!(!composed(
            "(component (core module) (component) (core module))"
        ));
    }
}
