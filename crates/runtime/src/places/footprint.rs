use std::fmt;

use wasmtime::ResourcesRequired;
use wasmtime::wasmparser::{CompositeInnerType, Parser, Payload};

/// The tables that a place has room for. A component that is not composed has two for each memory: its
/// functions' table and its imports'.
pub(crate) const TABLES_PER_PLACE: u32 = 4;

/// The memories and tables of one instance of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    memories: u32,
    tables: u32,
}

// === impl Footprint ===

impl Footprint {
    /// Returns the footprint of `binary`, given wasmtime's numbers.
    pub(crate) fn new(resources: &ResourcesRequired, binary: &[u8]) -> Self {
        Self {
            // An instance with garbage-collected objects has one more memory for all of them.
            memories: resources.num_memories + u32::from(has_objects(binary)),
            tables: resources.num_tables,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_memories(memories: u32) -> Self {
        Self {
            memories,
            tables: 0,
        }
    }

    pub(crate) fn places(self) -> u32 {
        let tables = self.tables.div_ceil(TABLES_PER_PLACE);
        // An instance with neither still takes one.
        self.memories.max(tables).max(1)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (places, Self { memories, tables }) = (self.places(), *self);
        let count = |count, one, more| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {more}"),
        };
        let reason = match memories >= tables.div_ceil(TABLES_PER_PLACE) {
            true => count(memories, "linear memory", "linear memories"),
            false => count(tables, "table", "tables"),
        };
        match places {
            1 => f.write_str("1 place"),
            _ => write!(f, "{places} places for its {reason}"),
        }
    }
}

/// Returns true if a guest has types of objects that wasmtime collects.
fn has_objects(binary: &[u8]) -> bool {
    let payloads = Parser::new(0).parse_all(binary);
    payloads.flatten().any(|payload| match payload {
        Payload::TypeSection(groups) => groups.into_iter().flatten().any(|group| {
            let mut types = group.types();
            types.any(|ty| {
                matches!(
                    ty.composite_type.inner,
                    CompositeInnerType::Struct(_) | CompositeInnerType::Array(_)
                )
            })
        }),
        // Exceptions are objects.
        Payload::TagSection(_) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(text: &str) -> Footprint {
        let binary = wat::parse_str(text).unwrap();
        let engine = wasmtime::Engine::default();
        let resources = match Parser::is_component(&binary) {
            true => wasmtime::component::Component::new(&engine, &binary)
                .unwrap()
                .resources_required()
                .unwrap(),
            false => wasmtime::Module::new(&engine, &binary)
                .unwrap()
                .resources_required(),
        };
        Footprint::new(&resources, &binary)
    }

    #[test]
    fn an_instance_takes_a_place_for_each_of_its_memories() {
        let module = "(memory 1) (memory 0)";
        assert_eq!(footprint("(module)").places(), 1);
        assert_eq!(footprint("(module (memory 1))").places(), 1);
        assert_eq!(footprint(&format!("(module {module})")).places(), 2);
        let instances = "(core instance (instantiate $m))".repeat(3);
        let component = format!("(component (core module $m {module}) {instances})");
        let component = footprint(&component);
        assert_eq!(component.places(), 6);
        assert_eq!(component.to_string(), "6 places for its 6 linear memories");
    }

    #[test]
    fn tables_count_where_they_are_more_than_places_have_room_for() {
        let table = "(table 1 funcref)";
        assert_eq!(
            footprint(&format!("(module {})", table.repeat(4))).places(),
            1
        );
        let five = footprint(&format!("(module (memory 1) {})", table.repeat(5)));
        assert_eq!(five.to_string(), "2 places for its 5 tables");
    }

    #[test]
    fn the_heap_of_collected_objects_is_a_memory() {
        let objects = footprint("(module (memory 1) (type (struct (field i32))))");
        assert_eq!(objects.places(), 2);
        let functions = footprint("(module (memory 1) (type (func)))");
        assert_eq!(functions.places(), 1);
    }
}
