use wasmtime::wasmparser::{DataKind, Parser, Payload};

/// The maximum size of data that is copied. Larger data is mapped.
///
/// Copying costs a page fault for each page of data, even if the guest never reads it. A mapping costs
/// system calls, independent of its size. Measured by `parts reset-settings` in a virtual machine with two
/// processors: 3 µs for each copied page, 20 to 36 µs for a mapping.
const MOST_COPIED: u64 = 32 << 10;

/// The way to initialise memory with a guest's data, and to reset it when the instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initialization {
    /// Data segments are copied into zeroed memory. When the instance ends, all of its pages go back to the
    /// system.
    Copied,
    /// An image of the memory is mapped, and its pages are copied on write. When the instance ends, written
    /// pages go back to the system, and the image shows again.
    CopyOnWrite,
}

impl Initialization {
    pub(super) fn of(binary: &[u8]) -> Self {
        match data_size(binary) > MOST_COPIED {
            true => Self::CopyOnWrite,
            false => Self::Copied,
        }
    }
}

/// Returns the size in bytes of the active data segments of a module, or of all modules in a component.
/// Input that does not parse counts as zero; compilation reports it.
fn data_size(binary: &[u8]) -> u64 {
    let mut size = 0;
    // `parse_all` descends into nested modules and components.
    for payload in Parser::new(0).parse_all(binary) {
        let Ok(Payload::DataSection(segments)) = payload else {
            continue;
        };
        for segment in segments.into_iter().flatten() {
            if matches!(segment.kind, DataKind::Active { .. }) {
                size += segment.data.len() as u64;
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> u64 {
        data_size(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn the_data_of_all_modules_of_a_component_counts() {
        let module = r#"(memory 1) (data (i32.const 0) "abc") (data (i32.const 8) "de")"#;
        assert_eq!(size(&format!("(module {module})")), 5);
        let nested =
            format!("(component (core module {module}) (component (core module {module})))");
        assert_eq!(size(&nested), 10);
    }

    #[test]
    fn passive_data_does_not_count_because_the_guest_copies_it() {
        assert_eq!(size(r#"(module (memory 1) (data "abc"))"#), 0);
    }

    #[test]
    fn what_does_not_parse_counts_for_nothing() {
        assert_eq!(data_size(b"\0asm\x01\0\0\0\x0b"), 0);
        assert_eq!(data_size(b"(module)"), 0);
    }
}
