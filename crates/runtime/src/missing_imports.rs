//! Which of a component's imports Headwater does not offer, and who does.

use std::fmt;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker};

use crate::interface_name::InterfaceName;
use crate::linker::VERSIONS;
use crate::state::State;

/// Imports of a component that Headwater does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImports(Vec<MissingImport>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct MissingImport {
    name: String,
    offer: Offer,
}

/// Who offers what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offer {
    /// Headwater does, in a version that the component's links to, but without these functions.
    Without(String, Vec<String>),
    /// Headwater does, in these versions.
    InVersions(Vec<&'static str>),
    /// The component that a middleware is composed with does.
    NextHandler,
    /// These hosts do.
    By(&'static str),
    /// Nobody who is known.
    Unknown,
}

/// Interfaces and packages that other hosts offer; of those that a name begins with, the first counts.
const OTHERS: [(&str, &str); 12] = [
    (
        "wasi:keyvalue/",
        "Spin, wasmCloud, `wasmtime serve -S keyvalue`",
    ),
    (
        "wasi:config/",
        "Spin, wasmCloud, `wasmtime serve -S config`",
    ),
    ("wasi:blobstore/", "wasmCloud"),
    ("wasi:logging/", "wasmCloud"),
    ("wasi:messaging/", "wasmCloud"),
    ("wasi:nn/", "`wasmtime serve -S nn`"),
    ("wasi:tls/", "`wasmtime serve -S tls`"),
    ("spin:", "Spin"),
    ("fermyon:", "Spin"),
    ("wasmcloud:", "wasmCloud"),
    ("wrpc:", "wasmCloud"),
    ("fastly:", "Fastly Compute"),
];

impl MissingImports {
    /// Those of this component. Empty if the linker offers all that it imports by name: then something is
    /// of another type.
    pub(crate) fn of(component: &Component, linker: &Linker<State>) -> Self {
        let engine = component.engine();
        let imports = component.component_type();
        let imports = imports.imports(engine).filter_map(|(name, import)| {
            let offer = match import.ty {
                ComponentItem::ComponentInstance(instance) => {
                    interface(name, &instance, component, linker)?
                }
                // Types by themselves are nothing that could be missing.
                ComponentItem::Type(_) => return None,
                _ if is_defined(linker, &[name]) => return None,
                _ => elsewhere(name, linker),
            };
            let name = name.to_owned();
            Some(MissingImport { name, offer })
        });
        Self(imports.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for MissingImports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.0.iter().map(|import| import.name.len());
        let width = widths.max().unwrap_or_default();
        for MissingImport { name, offer } in &self.0 {
            write!(f, "\n  {name:width$}  {offer}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(version, functions) => write!(
                f,
                "Headwater offers {version}, without `{}`",
                functions.join("`, `")
            ),
            Self::InVersions(versions) => {
                write!(f, "Headwater offers {}", versions.join(" and "))
            }
            Self::NextHandler => f.write_str(
                "the next handler of a middleware: compose the two, as by \
                 `wac plug MIDDLEWARE.wasm --plug NEXT.wasm -o OUT.wasm`",
            ),
            Self::By(others) => write!(f, "offered by {others}"),
            Self::Unknown => f.write_str("offered by no host that Headwater knows"),
        }
    }
}

/// Who offers an interface, if it is missing.
fn interface(
    name: &str,
    instance: &ComponentInstance,
    component: &Component,
    linker: &Linker<State>,
) -> Option<Offer> {
    let functions: Vec<&str> = instance
        .exports(component.engine())
        .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
        .map(|(name, _)| name)
        .collect();
    // What has only types is nothing that could be missing.
    if functions.is_empty() {
        return None;
    }
    let parsed = InterfaceName::parse(name);
    let offered = versions(parsed.interface, linker)
        .into_iter()
        .find(|version| parsed.is_compatible(version));
    let Some(offered) = offered else {
        return Some(elsewhere(name, linker));
    };
    let exact = format!("{}@{offered}", parsed.interface);
    let lacking: Vec<String> = functions
        .into_iter()
        .filter(|function| !is_defined(linker, &[&exact, function]))
        .map(str::to_owned)
        .collect();
    (!lacking.is_empty()).then(|| Offer::Without(offered.to_owned(), lacking))
}

/// Who offers what is not offered under this name.
fn elsewhere(name: &str, linker: &Linker<State>) -> Offer {
    let interface = InterfaceName::parse(name).interface;
    if matches!(
        interface,
        "wasi:http/handler" | "wasi:http/incoming-handler"
    ) {
        return Offer::NextHandler;
    }
    let versions = versions(interface, linker);
    if !versions.is_empty() {
        return Offer::InVersions(versions);
    }
    OTHERS
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map_or(Offer::Unknown, |(_, others)| Offer::By(others))
}

/// The versions of an interface that the linker offers.
fn versions(interface: &str, linker: &Linker<State>) -> Vec<&'static str> {
    let is_offered = |version: &&str| is_defined(linker, &[&format!("{interface}@{version}")]);
    VERSIONS.into_iter().filter(is_offered).collect()
}

/// Whether the linker has something of exactly this name, or path of names. It does not say so by itself,
/// but refuses to define it a second time.
fn is_defined(linker: &Linker<State>, path: &[&str]) -> bool {
    let mut linker = linker.clone();
    linker.allow_shadowing(false);
    let mut at = linker.root();
    let Some((name, folders)) = path.split_last() else {
        return false;
    };
    for folder in folders {
        match at.into_instance(folder) {
            Ok(instance) => at = instance,
            Err(_) => return false,
        }
    }
    at.func_new(name, |_, _, _, _| Ok(())).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(imports: &str) -> Vec<MissingImport> {
        let engine = wasmtime::Engine::default();
        let text = format!("(component {imports})");
        let component = Component::new(&engine, text).unwrap();
        let linker = crate::linker::linker(&engine).unwrap();
        MissingImports::of(&component, &linker).0
    }

    fn instance(name: &str, function: &str) -> String {
        format!("(import \"{name}\" (instance (export \"{function}\" (func))))")
    }

    #[test]
    fn each_version_that_is_looked_for_is_one_that_something_has() {
        let engine = wasmtime::Engine::default();
        let linker = crate::linker::linker(&engine).unwrap();
        for (interface, expected) in [
            ("wasi:http/types", vec!["0.2.12", "0.3.0"]),
            ("wasi:cli/environment", vec!["0.2.12", "0.3.0"]),
            ("wasi:sockets/types", vec!["0.3.0"]),
            ("headwater:attribution/scope", vec!["0.1.0"]),
        ] {
            assert_eq!(versions(interface, &linker), expected, "{interface}");
        }
    }

    #[test]
    fn all_that_is_missing_is_told_with_who_offers_it() {
        let imports = [
            instance("wasi:keyvalue/store@0.2.0-draft", "open"),
            instance("fermyon:spin/llm@2.0.0", "infer"),
            instance("wasmcloud:bus/lattice@2.0.0", "set-link-name"),
            instance("wasi:http/handler@0.3.2", "handle"),
            instance("wasi:cli/environment@0.1.0", "get-arguments"),
            instance("wasi:cli/environment@0.2.3", "get-arguments"),
            instance("wasi:random/random@0.3.7", "get-random-dreams"),
            instance("acme:robots/arm@1.0.0", "wave"),
            "(import \"log\" (func))".to_owned(),
        ];
        let missing = missing(&imports.concat());
        let offers: Vec<_> = missing
            .iter()
            .map(|import| (import.name.as_str(), import.offer.clone()))
            .collect();
        let without = Offer::Without("0.3.0".to_owned(), vec!["get-random-dreams".to_owned()]);
        assert_eq!(
            offers,
            [
                ("wasi:keyvalue/store@0.2.0-draft", Offer::By(OTHERS[0].1)),
                ("fermyon:spin/llm@2.0.0", Offer::By("Spin")),
                ("wasmcloud:bus/lattice@2.0.0", Offer::By("wasmCloud")),
                ("wasi:http/handler@0.3.2", Offer::NextHandler),
                (
                    "wasi:cli/environment@0.1.0",
                    Offer::InVersions(vec!["0.2.12", "0.3.0"])
                ),
                ("wasi:random/random@0.3.7", without),
                ("acme:robots/arm@1.0.0", Offer::Unknown),
                ("log", Offer::Unknown),
            ]
        );
    }

    #[test]
    fn an_interface_of_types_alone_is_not_missed() {
        let types =
            "(import \"acme:a/types@1.0.0\" (instance (export \"t\" (type (sub resource)))))";
        assert_eq!(missing(types), []);
    }

    #[test]
    fn what_is_missing_is_listed_one_a_line() {
        let imports = [
            instance("spin:variables/variables@3.0.0", "get"),
            instance("acme:a/b@1.0.0", "c"),
        ];
        let text = MissingImports(missing(&imports.concat())).to_string();
        assert_eq!(
            text,
            "\n  spin:variables/variables@3.0.0  offered by Spin\
             \n  acme:a/b@1.0.0                  offered by no host that Headwater knows"
        );
    }
}
