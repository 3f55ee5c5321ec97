//! Groups of keys that are in a table together with other keys.
//!
//! Serde's own `flatten` buffers the table in memory, and loses the place in the file that an error
//! is about. This module reads each value where it stands.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};

/// A group of keys that may be in a table together with others.
pub(crate) trait Group: Default {
    fn has(key: &str) -> bool;

    /// Reads the next value, which belongs to `key` of the group.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error>;
}

/// Reads a table that holds the keys of a group, and `own` keys that make `T`.
pub(crate) fn beside<'de, D, T, G, F>(deserializer: D, own: F) -> Result<(T, G), D::Error>
where
    D: Deserializer<'de>,
    G: Group,
    F: Own<'de, T>,
{
    deserializer.deserialize_map(Table {
        own,
        of: PhantomData,
    })
}

/// Makes `T` of the keys outside the group.
pub(crate) trait Own<'de, T> {
    /// Returns all keys of the table, including those of the group.
    fn known() -> &'static [String];

    fn read<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error>;
}

/// Implements `Deserialize` for a table with a group in its field `$group`. Other keys are read as
/// derived, by `#[serde(remote = "Self")]`. The last argument is a key that the schema does not
/// have.
macro_rules! beside_group {
    ($table:ident, $group:ident $(, $unlisted:expr)?) => {
        impl<'de> serde::Deserialize<'de> for $table {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Derived;
                impl<'de> $crate::settings::group::Own<'de, $table> for Derived {
                    fn known() -> &'static [String] {
                        static KNOWN: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
                        KNOWN.get_or_init(|| {
                            let keys = $crate::settings::group::keys::<$table>();
                            keys.into_iter()$(.chain([$unlisted.to_owned()]))?.collect()
                        })
                    }

                    fn read<D: serde::Deserializer<'de>>(
                        self,
                        deserializer: D,
                    ) -> Result<$table, D::Error> {
                        // The derived function, which takes precedence over the trait's.
                        $table::deserialize(deserializer)
                    }
                }
                let (table, group) = $crate::settings::group::beside(deserializer, Derived)?;
                Ok(Self {
                    $group: group,
                    ..table
                })
            }
        }
    };
}
pub(crate) use beside_group;

struct Table<F, T, G> {
    own: F,
    of: PhantomData<(T, G)>,
}

/// A table without the keys of its group.
struct Without<'a, A, G> {
    table: A,
    group: &'a mut G,
    known: &'static [String],
}

struct Whose<'a, K, G> {
    seed: K,
    known: &'static [String],
    group: PhantomData<&'a G>,
}

enum Key<K, V> {
    /// A key of the group; the seed is unused, and serves the next key.
    Group(String, K),
    Own(V),
}

// === impl Table ===

impl<'de, F, T, G> Visitor<'de> for Table<F, T, G>
where
    F: Own<'de, T>,
    G: Group,
{
    type Value = (T, G);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<(T, G), A::Error> {
        let mut group = G::default();
        let without = Without {
            table,
            group: &mut group,
            known: F::known(),
        };
        let own = self.own.read(MapAccessDeserializer::new(without))?;
        Ok((own, group))
    }
}

// === impl Without ===

impl<'de, A: MapAccess<'de>, G: Group> MapAccess<'de> for Without<'_, A, G> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        mut seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            let whose = Whose {
                seed,
                known: self.known,
                group: PhantomData::<&G>,
            };
            match self.table.next_key_seed(whose)? {
                None => return Ok(None),
                Some(Key::Own(key)) => return Ok(Some(key)),
                Some(Key::Group(key, unused)) => {
                    self.group.read(&key, &mut self.table)?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.table.next_value_seed(seed)
    }
}

// === impl Whose ===

impl<'de, K: DeserializeSeed<'de>, G: Group> DeserializeSeed<'de> for Whose<'_, K, G> {
    type Value = Key<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = <String as serde::Deserialize>::deserialize(deserializer)?;
        if G::has(&key) {
            return Ok(Key::Group(key, self.seed));
        }
        if !self.known.contains(&key) {
            let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
            // Serde's own words, which `suggestion` reads.
            return Err(D::Error::custom(format!(
                "unknown field `{key}`, expected one of {}",
                known.join(", ")
            )));
        }
        let key = serde::de::value::StringDeserializer::<D::Error>::new(key);
        self.seed.deserialize(key).map(Key::Own)
    }
}

/// Returns all keys of a table, in the order of its fields.
pub(crate) fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let properties = schema
        .get("properties")
        .and_then(serde_json::Value::as_object);
    properties
        .into_iter()
        .flat_map(|properties| properties.keys().cloned())
        .collect()
}
