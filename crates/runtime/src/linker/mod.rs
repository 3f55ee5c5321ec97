//! What guests import.
//!
//! # How an import gets its attribution
//!
//! By one call, `attribution::current(store)`, made synchronously in the import function: before its
//! first await, while the guest that called is on the stack. What it gives is carried along by value,
//! as the [`headwater_core::Attribution`] that it is. So an import needs the store:
//!
//! - defined by hand, with `func_wrap` or `func_wrap_async`, it is given the store;
//! - of generated bindings, those whose host trait is `HostWithStore` give an `Access` or an `Accessor`,
//!   for a `HasData` type of our own that may delegate to the stock one. The others have no store; such
//!   a function is defined by hand over the stock one (`allow_shadowing`), and calls it.
//!
//! A key-value store, say, would be attributed so:
//!
//! ```ignore
//! linker.instance("wasi:keyvalue/store@0.2.0")?.func_wrap_async(
//!     "[method]bucket.get",
//!     |mut store: StoreContextMut<'_, State>, (bucket, key): (Resource<Bucket>, String)| {
//!         // Here, and not in the future: it may first be polled when another task is on the stack.
//!         let attribution = attribution::current(store.as_context_mut());
//!         Box::new(async move {
//!             let span = ClientSpan::start(KeyValue { attribution: &attribution, .. });
//!             Ok((store.data_mut().buckets.get(bucket, key).await,))
//!         })
//!     },
//! )?;
//! ```

#[cfg(unix)]
mod directories;
mod fields;
mod files;
mod outgoing;
mod random;
mod stdio;
mod stream_error;
mod streams;

use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2, p3};

use crate::attribution;
use crate::state::State;

/// The 0.2 version of wasmtime-wasi-http 48; 0.2.x versions link to each other.
const TYPES_P2: &str = "wasi:http/types@0.2.12";

/// The 0.3 version of wasmtime-wasi-http 48; 0.3.x versions link to each other.
const TYPES_P3: &str = "wasi:http/types@0.3.0";

/// The versions in which interfaces are offered: WASI's by wasmtime 48, and Headwater's own.
pub(crate) const VERSIONS: [&str; 3] = ["0.2.12", "0.3.0", "0.1.0"];

/// Links everything that a component for an HTTP world may import.
///
/// That is the whole of WASI 0.2 and 0.3 and not the HTTP worlds alone: what Python's and
/// JavaScript's toolchains emit imports all of `wasi:cli`, filesystem and sockets too. The contexts
/// behind the imports grant nothing that the operator did not.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;

    p2::bindings::http::types::add_to_linker::<State, WasiHttp>(
        &mut linker,
        &p2::bindings::LinkOptions::default().into(),
        State::http,
    )?;
    p3::bindings::http::types::add_to_linker::<State, WasiHttp>(&mut linker, State::http)?;

    outgoing::add(&mut linker)?;
    attribution::add_to_linker(&mut linker)?;

    // Over the stock functions: what guests print, and what the stock ones get wrong.
    linker.allow_shadowing(true);
    fields::add(&mut linker)?;
    files::add(&mut linker)?;
    #[cfg(unix)]
    directories::add(&mut linker)?;
    stream_error::add(&mut linker)?;
    stdio::add(&mut linker)?;
    streams::add(&mut linker)?;
    random::add(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// What the tests of this folder share.
#[cfg(test)]
mod testing {
    use wasmtime::component::Linker;

    use crate::engine::Engine;
    use crate::state::State;

    /// Asserts that all of these define something over the stock functions. The names of the stock interfaces
    /// change with wasmtime; definitions under an old one would have no effect.
    pub(super) fn assert_over_the_stock_ones(
        all: &[fn(&mut Linker<State>) -> wasmtime::Result<()>],
    ) {
        let engine = Engine::new().unwrap();
        let mut linker = Linker::new(engine.for_guest(&[]).unwrap());
        wasmtime_wasi::p2::add_to_linker_async::<State>(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker::<State>(&mut linker).unwrap();
        for add in all {
            let error = add(&mut linker).unwrap_err();
            assert!(format!("{error:#}").contains("defined twice"), "{error:#}");
        }
    }
}
