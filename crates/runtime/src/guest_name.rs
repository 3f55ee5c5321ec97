//! The name and the source language of a component, as its toolchain recorded them.

use wasmtime::wasmparser::{
    ComponentName, KnownCustom, Name, Parser, Payload, ProducersSectionReader,
};

/// The name and language, for messages to a guest's author.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GuestName {
    name: Option<String>,
    language: Option<String>,
}

impl GuestName {
    /// Reads the name of the component, or else of its first module that has one.
    pub(crate) fn of(binary: &[u8]) -> Self {
        let mut found = Self::default();
        let mut module = None;
        for payload in Parser::new(0).parse_all(binary).map_while(Result::ok) {
            let Payload::CustomSection(section) = payload else {
                continue;
            };
            match section.as_known() {
                KnownCustom::ComponentName(names) => {
                    for name in names.into_iter().flatten() {
                        if let ComponentName::Component { name, .. } = name {
                            // The outermost comes last.
                            found.name = Some(name.to_owned());
                        }
                    }
                }
                KnownCustom::Name(names) if module.is_none() => {
                    module = names.into_iter().flatten().find_map(|name| match name {
                        Name::Module { name, .. } => {
                            Some(name.trim_end_matches(".wasm").to_owned())
                        }
                        _ => None,
                    });
                }
                KnownCustom::Producers(producers) if found.language.is_none() => {
                    found.language = language(producers);
                }
                _ => {}
            }
        }
        found.name = found.name.or(module);
        found
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }
}

fn language(producers: ProducersSectionReader<'_>) -> Option<String> {
    producers
        .into_iter()
        .flatten()
        .filter(|field| field.name == "language")
        .flat_map(|field| field.values)
        .flatten()
        .map(|value| value.name.to_owned())
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Option<String>, Option<String>) {
        let GuestName { name, language } = GuestName::of(&wat::parse_str(text).unwrap());
        (name, language)
    }

    #[test]
    fn a_component_goes_by_its_own_name_or_by_that_of_its_module() {
        let rust = "(@producers (language \"Rust\" \"\"))";
        assert_eq!(
            of(&format!("(component $shop (core module $m {rust}))")),
            (Some("shop".into()), Some("Rust".into()))
        );
        assert_eq!(
            of("(component (core module $worker.wasm))"),
            (Some("worker".into()), None)
        );
        assert_eq!(of("(component)"), (None, None));
    }
}
