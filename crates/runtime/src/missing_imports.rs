//! Imports of a component that Headwater does not offer, and the hosts that do.

use std::fmt;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker};

use crate::capability::Grants;
use crate::guest_state::GuestState;
use crate::interface_name::{InterfaceName, RELEASED};
use crate::linker::VERSIONS;

/// Imports of a component that Headwater does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImports {
    imports: Vec<MissingImport>,
    /// The interfaces offered besides WASI's own packages.
    capabilities: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MissingImport {
    name: String,
    offer: Offer,
}

/// The hosts that offer a missing import.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offer {
    /// Headwater, in a compatible version, but without these functions.
    Without(String, Vec<String>),
    /// Headwater, in these versions.
    InVersions(Vec<&'static str>),
    /// The component that a middleware is composed with.
    NextHandler,
    By(&'static str),
    Unknown,
}

/// Prefixes of interfaces and packages that other hosts offer; the first match counts.
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
    /// Returns the missing imports of this component. Empty if the linker has every name that it imports:
    /// then a type differs.
    pub(crate) fn of(component: &Component, linker: &Linker<GuestState>, grants: &Grants) -> Self {
        let offered = Offered { linker, grants };
        let engine = component.engine();
        let imports = component.component_type();
        let imports = imports.imports(engine).filter_map(|(name, import)| {
            let offer = match import.ty {
                ComponentItem::ComponentInstance(instance) => {
                    interface(name, &instance, component, &offered)?
                }
                // Types alone cannot be missing.
                ComponentItem::Type(_) => return None,
                _ if is_defined(linker, &[name]) => return None,
                _ => elsewhere(name, &offered),
            };
            let name = name.to_owned();
            Some(MissingImport { name, offer })
        });
        Self {
            imports: imports.collect(),
            capabilities: grants.interfaces().collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.imports.is_empty()
    }
}

impl fmt::Display for MissingImports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.imports.iter().map(|import| import.name.len());
        let width = widths.max().unwrap_or_default();
        for MissingImport { name, offer } in &self.imports {
            write!(f, "\n  {name:width$}  {offer}")?;
        }
        write!(
            f,
            "\nHeadwater offers the packages {} in the versions 0.2 and 0.3, and {}",
            RELEASED.join(", "),
            self.capabilities.join(", ")
        )
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
                "the next handler of a middleware: serve what is behind it, with this in front \
                 (`--middleware MIDDLEWARE.wasm`, or `[[middleware]]` in a headwater.toml), or compose the \
                 two, for example with `wac plug MIDDLEWARE.wasm --plug NEXT.wasm -o OUT.wasm`",
            ),
            Self::By(others) => write!(f, "offered by {others}"),
            Self::Unknown => f.write_str("offered by no host that Headwater knows"),
        }
    }
}

/// Returns the offer for an interface, if it is missing.
fn interface(
    name: &str,
    instance: &ComponentInstance,
    component: &Component,
    offered: &Offered<'_>,
) -> Option<Offer> {
    let functions: Vec<&str> = instance
        .exports(component.engine())
        .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
        .map(|(name, _)| name)
        .collect();
    // An interface with only types cannot be missing.
    if functions.is_empty() {
        return None;
    }
    let parsed = InterfaceName::parse(name);
    let version = offered
        .versions(parsed.interface)
        .into_iter()
        .find(|version| parsed.is_compatible(version));
    let Some(version) = version else {
        return Some(elsewhere(name, offered));
    };
    let exact = format!("{}@{version}", parsed.interface);
    let lacking: Vec<String> = functions
        .into_iter()
        .filter(|function| !is_defined(offered.linker, &[&exact, function]))
        .map(str::to_owned)
        .collect();
    (!lacking.is_empty()).then(|| Offer::Without(version.to_owned(), lacking))
}

/// Returns the offer for an import that is not offered under this name.
fn elsewhere(name: &str, offered: &Offered<'_>) -> Offer {
    let interface = InterfaceName::parse(name).interface;
    if matches!(
        interface,
        "wasi:http/handler" | "wasi:http/incoming-handler"
    ) {
        return Offer::NextHandler;
    }
    let versions = offered.versions(interface);
    if !versions.is_empty() {
        return Offer::InVersions(versions);
    }
    OTHERS
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map_or(Offer::Unknown, |(_, others)| Offer::By(others))
}

struct Offered<'a> {
    linker: &'a Linker<GuestState>,
    grants: &'a Grants,
}

impl Offered<'_> {
    /// Returns the versions in which an interface is offered.
    fn versions(&self, interface: &str) -> Vec<&'static str> {
        let capabilities = self.grants.interfaces().map(InterfaceName::parse);
        let mut versions: Vec<_> = capabilities
            .filter(|it| it.interface == interface)
            .filter_map(|it| it.version)
            .collect();
        for version in VERSIONS {
            let name = format!("{interface}@{version}");
            if !versions.contains(&version) && is_defined(self.linker, &[&name]) {
                versions.push(version);
            }
        }
        versions
    }
}

/// Returns true if the linker has exactly this name, or path of names. The linker has no query, but
/// refuses a second definition.
fn is_defined(linker: &Linker<GuestState>, path: &[&str]) -> bool {
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
    use crate::capabilities::Capabilities;

    fn missing(imports: &str) -> MissingImports {
        let engine = wasmtime::Engine::default();
        let text = format!("(component {imports})");
        let component = Component::new(&engine, text).unwrap();
        let grants = Capabilities::default().nothing();
        let linker = crate::linker::linker(&engine, &grants).unwrap();
        MissingImports::of(&component, &linker, &grants)
    }

    fn instance(name: &str, function: &str) -> String {
        format!("(import \"{name}\" (instance (export \"{function}\" (func))))")
    }

    #[test]
    fn each_version_that_is_looked_for_is_one_that_something_has() {
        let engine = wasmtime::Engine::default();
        let grants = Capabilities::default().nothing();
        let linker = &crate::linker::linker(&engine, &grants).unwrap();
        let offered = Offered {
            linker,
            grants: &grants,
        };
        for (interface, expected) in [
            ("wasi:http/types", vec!["0.2.12", "0.3.0"]),
            ("wasi:cli/environment", vec!["0.2.12", "0.3.0"]),
            ("wasi:sockets/types", vec!["0.3.0"]),
            ("headwater:attribution/scope", vec!["0.1.0"]),
        ] {
            assert_eq!(offered.versions(interface), expected, "{interface}");
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
            .imports
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
        assert!(missing(types).is_empty());
    }

    #[test]
    fn what_is_missing_is_listed_one_a_line() {
        let imports = [
            instance("spin:variables/variables@3.0.0", "get"),
            instance("acme:a/b@1.0.0", "c"),
        ];
        let text = missing(&imports.concat()).to_string();
        assert_eq!(
            text,
            "\n  spin:variables/variables@3.0.0  offered by Spin\
             \n  acme:a/b@1.0.0                  offered by no host that Headwater knows\
             \nHeadwater offers the packages wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, \
             wasi:random, wasi:sockets in the versions 0.2 and 0.3, and wasi:http/client@0.3.0, \
             wasi:http/outgoing-handler@0.2.12, headwater:attribution/scope@0.1.0"
        );
    }
}
