//! The functions of `wasi:io/streams@0.2` that write, attributed if they write to stdout or stderr.
//!
//! Each calls the stock function and then takes what a standard stream was given by it. For any other
//! stream, such as a body, that is a look at a flag.

use wasmtime::component::{Lift, Linker, Lower, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p2::bindings::io::streams::{Host, HostOutputStream, StreamError};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamResult};

use crate::attribution;
use crate::guest_state::GuestState;
use crate::output::Origin;

/// The 0.2 version of wasmtime-wasi 48; 0.2.x versions link to each other.
const INTERFACE: &str = "wasi:io/streams@0.2.12";

type Output = Resource<DynOutputStream>;
type Input = Resource<DynInputStream>;
type Answer<T> = (Result<T, StreamError>,);

/// Defines them over the stock ones.
pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(INTERFACE)?;
    streams.func_wrap(
        "[method]output-stream.write",
        |mut store: StoreContextMut<'_, GuestState>, (to, bytes): (Output, Vec<u8>)| {
            before(&store);
            let done = HostOutputStream::write(&mut store.data_mut().table, to, bytes);
            after(store, done)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.write-zeroes",
        |mut store: StoreContextMut<'_, GuestState>, (to, length): (Output, u64)| {
            before(&store);
            let done = HostOutputStream::write_zeroes(&mut store.data_mut().table, to, length);
            after(store, done)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.splice",
        |mut store: StoreContextMut<'_, GuestState>, (to, from, length): (Output, Input, u64)| {
            before(&store);
            let done = HostOutputStream::splice(&mut store.data_mut().table, to, from, length);
            after(store, done)
        },
    )?;
    // A synchronous call: the guest waits for it, and so does all of its store. Whoever called is still
    // the one who runs when it is over.
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |mut store: StoreContextMut<'_, GuestState>, (to, bytes): (Output, Vec<u8>)| {
            Box::new(async move {
                before(&store);
                let table = &mut store.data_mut().table;
                let done = HostOutputStream::blocking_write_and_flush(table, to, bytes).await;
                after(store, done)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |mut store: StoreContextMut<'_, GuestState>, (to, length): (Output, u64)| {
            Box::new(async move {
                before(&store);
                let table = &mut store.data_mut().table;
                let done =
                    HostOutputStream::blocking_write_zeroes_and_flush(table, to, length).await;
                after(store, done)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |mut store: StoreContextMut<'_, GuestState>, (to, from, length): (Output, Input, u64)| {
            Box::new(async move {
                before(&store);
                let table = &mut store.data_mut().table;
                let done = HostOutputStream::blocking_splice(table, to, from, length).await;
                after(store, done)
            })
        },
    )
}

/// What is in the outbox before a call was put there by a function that does not take it out again.
/// There is none such, and if there ever is, its output is nobody's and not the next caller's.
fn before(store: &StoreContextMut<'_, GuestState>) {
    let GuestState { outbox, output, .. } = store.data();
    for (stream, bytes) in outbox.take() {
        let nobody = headwater_core::Attribution::unknown();
        output.write(&nobody, stream, Origin::Shared, &bytes);
    }
}

/// Prints what the call wrote to a standard stream, as output of the caller's, and gives the call's
/// result.
fn after<T: Lift + Lower>(
    mut store: StoreContextMut<'_, GuestState>,
    done: StreamResult<T>,
) -> wasmtime::Result<Answer<T>> {
    let pieces = store.data().outbox.take();
    if !pieces.is_empty() {
        let attribution = attribution::current(store.as_context_mut());
        for (stream, bytes) in pieces {
            let output = &store.data().output;
            output.write(&attribution, stream, Origin::Shared, &bytes);
        }
    }
    match done {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => {
            let table = &mut store.data_mut().table;
            Ok((Err(Host::convert_stream_error(table, error)?),))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linker::testing::assert_over_the_stock_ones;

    #[test]
    fn these_functions_take_the_place_of_the_stock_ones() {
        assert_over_the_stock_ones(&[add]);
    }
}
