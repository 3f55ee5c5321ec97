//! Recognises programs for StarlingMonkey, the JavaScript engine of componentize-js.

use wasmtime::wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

/// The name of componentize-js in the `producers` section.
const PRODUCER: &str = "ComponentizeJS";

/// A text in the engine's memory, independent of its build: the boundary of its `FormData`.
const TEXT: &[u8] = b"--StarlingMonkeyFormBoundary";

/// Returns true if the binary has the mark of componentize-js, or contains the engine.
pub(crate) fn is_starling_monkey(binary: &[u8]) -> bool {
    Parser::new(0)
        .parse_all(binary)
        .any(|payload| match payload {
            Ok(Payload::CustomSection(section)) => match section.as_known() {
                KnownCustom::Producers(producers) => is_produced_by(producers, PRODUCER),
                _ => false,
            },
            Ok(Payload::DataSection(data)) => data
                .into_iter()
                .flatten()
                .any(|data| data.data.windows(TEXT.len()).any(|text| text == TEXT)),
            _ => false,
        })
}

fn is_produced_by(producers: ProducersSectionReader<'_>, name: &str) -> bool {
    producers
        .into_iter()
        .flatten()
        .filter(|field| field.name == "processed-by")
        .flat_map(|field| field.values)
        .flatten()
        .any(|value| value.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> bool {
        is_starling_monkey(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn componentize_js_is_known_by_its_name() {
        assert!(is(
            "(component (core module) (@producers (processed-by \"ComponentizeJS\" \"0.23.0\")))"
        ));
        assert!(!is(
            "(component (core module) (@producers (processed-by \"componentize-qjs\" \"0.4.5\")))"
        ));
    }

    #[test]
    fn the_engine_is_known_by_what_is_in_its_memory() {
        assert!(is(
            "(component (core module (memory 1) (data (i32.const 9) \"x--StarlingMonkeyFormBoundary{}\")))"
        ));
        assert!(!is(
            "(component (core module (memory 1) (data (i32.const 9) \"monkeys\")))"
        ));
    }
}
