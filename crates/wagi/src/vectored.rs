//! Reads and writes that use all of their buffers.
//!
//! `wasmtime-wasi` 48 reads into or writes from the first buffer that is not empty, and returns a
//! short count (bytecodealliance/wasmtime#8037, open). That is allowed, but breaks programs that
//! ignore the count: Grain's `print` and AssemblyScript's `Console.log` pass a text and its line
//! feed as two buffers. WAGI used all buffers. Therefore the functions here replace the four stock
//! ones and call them once per buffer, both for preview1 and for preview0 (their types and numbers
//! are the same).
//!
//! Writes to stdout bypass the stock functions, which write 4 KiB at a time.

use wasmtime::{AsContextMut, Caller, Extern, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock, WasiSnapshotPreview1};
use wiggle::{GuestMemory, GuestPtr};

use crate::linker::State;
use crate::output::Output;

/// The size of an `iovec` and of a `ciovec`: address and length, four bytes each.
const BUFFER_SIZE: u32 = 8;

/// The number of buffers after which the thread yields: a guest may pass millions.
const BUFFERS_PER_TURN: u32 = 1024;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Read,
    Write,
    ReadAt(u64),
    WriteAt(u64),
}

/// Creates the operation at an offset in the file.
type AtOffset = fn(u64) -> Operation;

/// The arguments that the four functions share, as the guest passed them.
#[derive(Debug, Clone, Copy)]
struct Arguments {
    descriptor: i32,
    buffers: u32,
    count: u32,
    /// The address for the number of bytes.
    result: u32,
}

/// The descriptor of stdout, unless the guest changed it.
pub(crate) const STDOUT: i32 = 1;

/// Replaces the functions of `wasi`. The linker must allow it ([`Linker::allow_shadowing`]).
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

    /// Returns the address of this buffer's description, or `None` if it is beyond any memory.
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

/// Finds the guest's memory and sets the fuel of a host call, as the stock functions do.
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

/// Writes all buffers to stdout, and waits for room in between.
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

/// Runs the operation buffer by buffer until one was not used completely, and writes the sum. An
/// error after some bytes is left for the next call to find, as in POSIX.
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

/// Runs an operation on no bytes: only the stock function can tell if the descriptor allows it.
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
    // The stock function reports a read of no bytes from stdin as an interruption.
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
    /// Returns the same operation further on. Descriptors with a position move it themselves.
    fn advanced(self, bytes: u32) -> Self {
        match self {
            Self::Read | Self::Write => self,
            Self::ReadAt(offset) => Self::ReadAt(offset.saturating_add(bytes.into())),
            Self::WriteAt(offset) => Self::WriteAt(offset.saturating_add(bytes.into())),
        }
    }
}
