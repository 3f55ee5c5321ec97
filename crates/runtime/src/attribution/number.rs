//! The number in a task's id.

use std::hash::{Hash, Hasher};

use wasmtime::component::GuestTaskId;

/// A task's index in wasmtime's table.
pub(super) type Number = u32;

/// Returns the index in wasmtime's table that an id stands for. None if ids are not made of one.
///
/// An id does not expose its index, but hashes as the index alone.
pub(super) fn number(id: GuestTaskId) -> Option<Number> {
    let mut heard = Heard::Nothing;
    id.hash(&mut heard);
    match heard {
        Heard::One(number) => Some(number),
        Heard::Nothing | Heard::Else => None,
    }
}

/// A hasher that captures its input.
enum Heard {
    Nothing,
    One(Number),
    Else,
}

impl Hasher for Heard {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, _bytes: &[u8]) {
        *self = Self::Else;
    }

    fn write_u32(&mut self, number: u32) {
        *self = match self {
            Self::Nothing => Self::One(number),
            Self::One(_) | Self::Else => Self::Else,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_one_number_is_none() {
        let heard = |parts: &dyn Fn(&mut Heard)| {
            let mut heard = Heard::Nothing;
            parts(&mut heard);
            matches!(heard, Heard::One(_))
        };
        assert!(heard(&|heard| 7_u32.hash(heard)));
        assert!(!heard(&|heard| (7_u32, 7_u32).hash(heard)));
        assert!(!heard(&|heard| 7_u64.hash(heard)));
        assert!(!heard(&|heard| "7".hash(heard)));
    }
}
