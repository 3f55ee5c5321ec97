use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use crate::File;
use crate::capability_key::{CapabilityKey, add_to_schema};

/// The JSON schema of a `headwater.toml`, for editors and for what makes such files. It is text that ends
/// with a line's end; docs/reference/headwater.schema.json holds it.
#[must_use]
pub fn schema(keys: &[CapabilityKey]) -> String {
    format!("{:#}\n", root(keys))
}

/// Draft 7, because that is what editors know for TOML.
pub(crate) fn root(keys: &[CapabilityKey]) -> Value {
    let settings = SchemaSettings::draft07()
        .with_transform(WithoutNull)
        .with_transform(OneLine)
        .with_transform(Closed);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "headwater.toml".into());
    let mut root = schema.to_value();
    add_to_schema(&mut root, keys);
    root
}

/// TOML has no null: what need not be said is left out.
#[derive(Debug, Clone)]
struct WithoutNull;

/// Comments are wrapped for the source alone.
#[derive(Debug, Clone)]
struct OneLine;

/// Draft 7 does not know `unevaluatedProperties`, which tables have that are made of groups.
#[derive(Debug, Clone)]
struct Closed;

// === impl WithoutNull ===

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = &types[..] {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
            any.retain(|one| one.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(one)] = &any[..] {
                let one = one.clone();
                schema.remove("anyOf");
                // Draft 7 takes nothing beside a reference.
                if one.contains_key("$ref") {
                    schema.insert("allOf".to_owned(), Value::Array(vec![one.into()]));
                } else {
                    for (key, value) in one {
                        if schema.get(&key).is_none() {
                            schema.insert(key, value);
                        }
                    }
                }
            }
        }
        transform_subschemas(self, schema);
    }
}

// === impl OneLine ===

impl Transform for OneLine {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(said) = schema.get("description").and_then(Value::as_str) {
            let words: Vec<_> = said.split_whitespace().collect();
            let line = words.join(" ");
            schema.insert("description".to_owned(), line.into());
        }
        transform_subschemas(self, schema);
    }
}

// === impl Closed ===

impl Transform for Closed {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(allowed) = schema.remove("unevaluatedProperties") {
            schema.insert("additionalProperties".to_owned(), allowed);
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_may_be_said_and_what_must_be() {
        let schema = root(&[]);
        assert_eq!(schema["additionalProperties"], false);
        let service = &schema["definitions"]["Service"];
        assert_eq!(service["required"], serde_json::json!(["name", "route"]));
        assert_eq!(service["properties"]["timeout"]["type"], "string");
        assert_eq!(service["properties"]["max_queue"]["type"], "integer");
        for table in [
            "Service",
            "ServiceSettings",
            "ListenerSettings",
            "TlsSettings",
        ] {
            let table = &schema["definitions"][table];
            assert_eq!(table["additionalProperties"], false, "{table:#}");
        }
        let status = &schema["definitions"]["RedirectEntry"]["properties"]["status"];
        assert_eq!(status["default"], 308);
        assert!(!schema.to_string().contains("null"), "TOML has none");
        assert!(!schema.to_string().contains("\"source\""), "it is no key");
    }

    #[test]
    fn every_key_is_explained() {
        fn check(place: &str, schema: &Value) {
            // A table of one key is explained as a whole.
            let whole = schema.get("description").is_some();
            if let Some(Value::Object(properties)) = schema.get("properties")
                && !(whole && properties.len() == 1)
            {
                for (key, value) in properties {
                    let said = value.get("description").and_then(Value::as_str);
                    assert!(said.is_some_and(|said| said.len() > 5), "{place}.{key}");
                }
            }
            match schema {
                Value::Object(object) => object.iter().for_each(|(key, value)| {
                    check(&format!("{place}.{key}"), value);
                }),
                Value::Array(list) => list.iter().for_each(|value| check(place, value)),
                _ => {}
            }
        }
        check("", &root(&[]));
    }
}
