//! The functions of `wasi:io/streams@0.2` that write. Writes to stdout and stderr are attributed.
//!
//! Each calls the stock function and then takes the data that it gave to a standard stream. For any
//! other stream, such as a body, this only checks a flag.

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

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(INTERFACE)?;
    macro_rules! define {
        ($name:literal, $stock:ident($($argument:ident: $ty:ty),*)) => {
            streams.func_wrap(
                $name,
                |mut store: StoreContextMut<'_, GuestState>, (to, $($argument),*): (Output, $($ty),*)| {
                    before(&store);
                    let table = &mut store.data_mut().table;
                    let done = HostOutputStream::$stock(table, to, $($argument),*);
                    after(store, done)
                },
            )?;
        };
        // A synchronous call: the guest and all of its store wait for it, so the caller is still the
        // one who runs when it is over.
        (blocking $name:literal, $stock:ident($($argument:ident: $ty:ty),*)) => {
            streams.func_wrap_async(
                $name,
                |mut store: StoreContextMut<'_, GuestState>, (to, $($argument),*): (Output, $($ty),*)| {
                    Box::new(async move {
                        before(&store);
                        let table = &mut store.data_mut().table;
                        let done = HostOutputStream::$stock(table, to, $($argument),*).await;
                        after(store, done)
                    })
                },
            )?;
        };
    }
    define!("[method]output-stream.write", write(bytes: Vec<u8>));
    define!("[method]output-stream.write-zeroes", write_zeroes(length: u64));
    define!("[method]output-stream.splice", splice(from: Input, length: u64));
    define!(blocking "[method]output-stream.blocking-write-and-flush", blocking_write_and_flush(bytes: Vec<u8>));
    define!(
        blocking "[method]output-stream.blocking-write-zeroes-and-flush",
        blocking_write_zeroes_and_flush(length: u64)
    );
    define!(blocking "[method]output-stream.blocking-splice", blocking_splice(from: Input, length: u64));
    Ok(())
}

/// Data that is in the outbox before a call was put there by a function that does not take it out
/// again. There is no such function; if there ever is, its output must not be attributed to the next
/// caller.
fn before(store: &StoreContextMut<'_, GuestState>) {
    let GuestState { outbox, output, .. } = store.data();
    for (stream, bytes) in outbox.take() {
        let nobody = headwater_core::Attribution::unknown();
        output.write(&nobody, stream, Origin::Shared, &bytes);
    }
}

/// Prints the data that the call wrote to a standard stream as output of the caller, and returns the
/// call's result.
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
