use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::wasmparser::{Parser, Payload};

/// The world that a component is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// `wasi:http/service@0.3`: exports `wasi:http/handler`, asynchronous, may be entered by many
    /// requests at once.
    Service,
    /// `wasi:http/proxy@0.2`: exports `wasi:http/incoming-handler`, one request at a time.
    Proxy,
}

impl World {
    /// Finds the world by the component's exports; `None` if it exports no HTTP handler.
    #[must_use]
    pub fn of(component: &Component) -> Option<Self> {
        exports(component).iter().find_map(|name| {
            if is_version(name, "wasi:http/handler@", "0.3.") {
                Some(Self::Service)
            } else if is_version(name, "wasi:http/incoming-handler@", "0.2.") {
                Some(Self::Proxy)
            } else {
                None
            }
        })
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "wasi:http/service@0.3",
            Self::Proxy => "wasi:http/proxy@0.2",
        })
    }
}

/// What a component exports, by name.
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

fn is_version(name: &str, interface: &str, version: &str) -> bool {
    name.strip_prefix(interface)
        .is_some_and(|rest| rest.starts_with(version))
}

/// Whether a component was composed of several: whether a component nested in it has code of its
/// own.
///
/// In a composed component one guest's call can be made by a task of another, and wasmtime 48's
/// call stack is then not to be trusted (wasmtime issue 14247). Toolchains nest components without
/// code, to give exports their types; those do not count.
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
    fn modules_and_code_less_shims_do_not_make_a_composition() {
        assert!(!composed("(component)"));
        assert!(!composed("(component (core module) (core module))"));
        assert!(!composed(
            "(component (core module) (component) (core module))"
        ));
    }
}
