//! Reads and writes the guest's memory at addresses that the guest passes.

use wasmtime::{Caller, Extern};

use super::Code;
use crate::linker::State;

/// A range of the guest's memory: address and length, as the guest passed them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) at: i32,
    pub(super) length: i32,
}

pub(super) fn parts<'a>(
    caller: &'a mut Caller<'_, State>,
) -> Result<(&'a mut [u8], &'a mut State), Code> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory.data_and_store_mut(caller)),
        _ => Err(Code::MemoryNotFound),
    }
}

impl Span {
    pub(super) fn new(at: i32, length: i32) -> Self {
        Self { at, length }
    }

    pub(super) fn get(self, memory: &[u8]) -> Result<&[u8], Code> {
        let at = self.at.cast_unsigned() as usize;
        memory
            .get(at..)
            .and_then(|rest| rest.get(..self.length.cast_unsigned() as usize))
            .ok_or(Code::BufferTooSmall)
    }

    pub(super) fn text(self, memory: &[u8]) -> Result<&str, Code> {
        std::str::from_utf8(self.get(memory)?).map_err(|_| Code::Utf8)
    }

    pub(super) fn room(self, memory: &mut [u8]) -> Result<&mut [u8], Code> {
        let at = self.at.cast_unsigned() as usize;
        memory
            .get_mut(at..)
            .and_then(|rest| rest.get_mut(..self.length.cast_unsigned() as usize))
            .ok_or(Code::MemoryAccess)
    }
}

pub(super) fn put(memory: &mut [u8], at: i32, bytes: &[u8]) -> Result<(), Code> {
    memory
        .get_mut(at.cast_unsigned() as usize..)
        .and_then(|rest| rest.get_mut(..bytes.len()))
        .ok_or(Code::MemoryAccess)?
        .copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_memory_is_read_or_written() {
        let mut memory = *b"abcd";
        assert_eq!(Span::new(1, 2).text(&memory), Ok("bc"));
        assert_eq!(Span::new(4, 0).text(&memory), Ok(""));
        for (at, length) in [(0, 5), (4, 1), (5, 0), (-1, 1), (1, -1), (-1, -1)] {
            let span = Span::new(at, length);
            assert_eq!(
                span.get(&memory),
                Err(Code::BufferTooSmall),
                "{at} {length}"
            );
            assert_eq!(span.room(&mut memory), Err(Code::MemoryAccess));
        }
        assert_eq!(put(&mut memory, 3, b"xy"), Err(Code::MemoryAccess));
        assert_eq!(put(&mut memory, -1, b"x"), Err(Code::MemoryAccess));
        assert_eq!(put(&mut memory, 2, b"xy"), Ok(()));
        assert_eq!(&memory, b"abxy");
    }
}
