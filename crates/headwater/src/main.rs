//! The `headwater` command.

use std::process::ExitCode;

/// Requests allocate often and briefly, and free memory on another thread than the one that
/// allocated it. With glibc's allocator this takes a tenth of their time
/// (`docs/decisions/0011-mimalloc.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    headwater::command::main()
}
