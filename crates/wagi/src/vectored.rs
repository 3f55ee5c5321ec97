//! Reads and writes that honour all of their buffers.
//!
//! `wasmtime-wasi` 48 reads into or writes from the first buffer that is not empty, and returns a
//! short count (bytecodealliance/wasmtime#8037, open). That is allowed, and breaks programs that do
//! not look at the count: Grain's `print` and AssemblyScript's `Console.log` pass a text and its line
//! feed as two buffers. WAGI took them all. So the four functions are put over the stock ones here,
//! and call them once per buffer, for preview1 and preview0 alike (their types and numbers are the
//! same).
//!
//! What goes to stdout itself takes a shorter way: the stock functions write 4 KiB at a time.

use wasmtime::{AsContextMut, Caller, Extern, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock, WasiSnapshotPreview1};
use wiggle::{GuestMemory, GuestPtr};

use crate::linker::State;
use crate::output::Output;

/// The size of an `iovec` and of a `ciovec`: address and length, four bytes each.
const BUFFER_SIZE: u32 = 8;

/// After how many buffers the thread is let go: a guest may pass millions.
const BUFFERS_PER_TURN: u32 = 1024;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Read,
    Write,
    ReadAt(u64),
    WriteAt(u64),
}

/// Makes the operation at an offset into the file.
type AtOffset = fn(u64) -> Operation;

/// The arguments that the four functions share, as the guest passed them.
#[derive(Debug, Clone, Copy)]
struct Arguments {
    descriptor: i32,
    buffers: u32,
    count: u32,
    /// Where the number of bytes goes.
    result: u32,
}

/// The descriptor that is stdout, unless the guest made it something else.
pub(crate) const STDOUT: i32 = 1;

/// Puts the four functions over those of the module `wasi`, which must allow it
/// ([`Linker::allow_shadowing`]).
pub(crate) fn add_to_linker(linker: &mut Linker<State>, wasi: &str) -> Result<()> {
    for (name, operation) in [("fd_read", Operation::Read), ("fd_write", Operation::Write)] {
        linker.func_wrap_async(
            wasi,
            name,
            move |mut caller: Caller<'_, State>,
                  (descriptor, buffers, count, result): (i32, i32, i32, i32)| {
                let arguments = Arguments::new(descriptor, buffers, count, result);
                Box::new(async move { call(&mut caller, operation, arguments).await })
            },
        )?;
    }
    let at: [(&str, AtOffset); 2] = [
        ("fd_pread", Operation::ReadAt),
        ("fd_pwrite", Operation::WriteAt),
    ];
    for (name, operation) in at {
        linker.func_wrap_async(
            wasi,
            name,
            move |mut caller: Caller<'_, State>,
                  (descriptor, buffers, count, offset, result): (i32, i32, i32, i64, i32)| {
                let arguments = Arguments::new(descriptor, buffers, count, result);
                let operation = operation(offset.cast_unsigned());
                Box::new(async move { call(&mut caller, operation, arguments).await })
            },
        )?;
    }
    Ok(())
}

impl Arguments {
    fn new(descriptor: i32, buffers: i32, count: i32, result: i32) -> Self {
        Self {
            descriptor,
            buffers: buffers.cast_unsigned(),
            count: count.cast_unsigned(),
            result: result.cast_unsigned(),
        }
    }

    /// Where the buffer of this number is described; none if that is beyond all memory.
    fn buffer(self, index: u32) -> Option<u32> {
        self.buffers.checked_add(index.checked_mul(BUFFER_SIZE)?)
    }
}

async fn call(
    caller: &mut Caller<'_, State>,
    operation: Operation,
    arguments: Arguments,
) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    if matches!(operation, Operation::Write)
        && arguments.descriptor == STDOUT
        && !state.descriptors.stdout_moved
    {
        return print(&state.output, &mut memory, arguments).await;
    }
    run(&mut state.wasi, &mut memory, operation, arguments).await
}

/// Finds the guest's memory as the stock functions do, and gives them their fuel.
pub(crate) fn parts<'a>(
    caller: &'a mut Caller<'_, State>,
) -> Result<(GuestMemory<'a>, &'a mut State)> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let export = caller.get_export("memory");
    let (memory, state) = match &export {
        Some(Extern::Memory(memory)) => {
            let (memory, state) = memory.data_and_store_mut(caller);
            (GuestMemory::Unshared(memory), state)
        }
        _ => return Err(wasmtime::Error::msg("missing required memory export")),
    };
    state.wasi.set_hostcall_fuel(fuel);
    Ok((memory, state))
}

/// Writes all buffers to stdout, and waits for room between.
async fn print(output: &Output, memory: &mut GuestMemory<'_>, arguments: Arguments) -> Result<i32> {
    let mut total: u32 = 0;
    for index in 0..arguments.count {
        if index % BUFFERS_PER_TURN == BUFFERS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let Some(buffer) = arguments.buffer(index) else {
            return Ok(Errno::Fault as i32);
        };
        let address: u32 = memory.read(GuestPtr::new(buffer))?;
        let length: u32 = memory.read(GuestPtr::new(buffer.wrapping_add(4)))?;
        let Some(sum) = total.checked_add(length) else {
            return Ok(Errno::Overflow as i32);
        };
        if length > 0 {
            let mut rest: &[u8] = &memory.as_cow(GuestPtr::<[u8]>::new((address, length)))?;
            while !rest.is_empty() {
                let room = std::future::poll_fn(|cx| output.poll_room(cx)).await;
                let now = rest.split_off(..rest.len().min(room)).unwrap_or_default();
                output.append(now)?;
            }
        }
        total = sum;
    }
    memory.write(GuestPtr::new(arguments.result), total)?;
    Ok(Errno::Success as i32)
}

/// Runs the operation buffer by buffer until one is not filled or emptied to its end, and writes the
/// sum. An error after some bytes is left for the next call to find, as POSIX does.
async fn run(
    wasi: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    operation: Operation,
    arguments: Arguments,
) -> Result<i32> {
    let mut total: u32 = 0;
    let mut called = false;
    for index in 0..arguments.count {
        if index % BUFFERS_PER_TURN == BUFFERS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let Some(buffer) = arguments.buffer(index) else {
            return Ok(Errno::Fault as i32);
        };
        let length: u32 = memory.read(GuestPtr::new(buffer.wrapping_add(4)))?;
        if length == 0 {
            continue;
        }
        let one = Arguments {
            buffers: buffer,
            count: 1,
            ..arguments
        };
        called = true;
        let errno = once(wasi, memory, operation.advanced(total), one).await?;
        if errno != Errno::Success as i32 {
            if total == 0 {
                return Ok(errno);
            }
            break;
        }
        let done: u32 = memory.read(GuestPtr::new(arguments.result))?;
        let Some(sum) = total.checked_add(done) else {
            return Ok(Errno::Overflow as i32);
        };
        total = sum;
        if done < length {
            break;
        }
    }
    if !called {
        return nothing(wasi, memory, operation, arguments).await;
    }
    memory.write(GuestPtr::new(arguments.result), total)?;
    Ok(Errno::Success as i32)
}

/// An operation on no bytes: whether the descriptor is good for it is the stock function's to say.
async fn nothing(
    wasi: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    operation: Operation,
    arguments: Arguments,
) -> Result<i32> {
    let none = Arguments {
        count: 0,
        ..arguments
    };
    let errno = once(wasi, memory, operation, none).await?;
    // The stock function takes "no bytes" from stdin for an interruption.
    if errno == Errno::Intr as i32 {
        memory.write(GuestPtr::new(arguments.result), 0_u32)?;
        return Ok(Errno::Success as i32);
    }
    Ok(errno)
}

async fn once(
    wasi: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    operation: Operation,
    arguments: Arguments,
) -> Result<i32> {
    let Arguments {
        descriptor,
        buffers,
        count,
        result,
    } = arguments;
    let [buffers, count, result] = [buffers, count, result].map(u32::cast_signed);
    match operation {
        Operation::Read => stock::fd_read(wasi, memory, descriptor, buffers, count, result).await,
        Operation::Write => stock::fd_write(wasi, memory, descriptor, buffers, count, result).await,
        Operation::ReadAt(offset) => {
            let offset = offset.cast_signed();
            stock::fd_pread(wasi, memory, descriptor, buffers, count, offset, result).await
        }
        Operation::WriteAt(offset) => {
            let offset = offset.cast_signed();
            stock::fd_pwrite(wasi, memory, descriptor, buffers, count, offset, result).await
        }
    }
}

impl Operation {
    /// The same operation after so many bytes. Descriptors with a position move it themselves.
    fn advanced(self, bytes: u32) -> Self {
        match self {
            Self::Read | Self::Write => self,
            Self::ReadAt(offset) => Self::ReadAt(offset.saturating_add(bytes.into())),
            Self::WriteAt(offset) => Self::WriteAt(offset.saturating_add(bytes.into())),
        }
    }
}
