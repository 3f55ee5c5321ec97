//! What all guests may import: WASI itself, with what Headwater does otherwise than the stock functions. Other interfaces are
//! [capabilities](crate::capability).

#[cfg(unix)]
mod directories;
mod fields;
mod files;
mod random;
mod stdio;
mod stream_error;
mod streams;

use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2, p3};

use crate::capability::Grants;
use crate::guest_state::GuestState;

/// The 0.2 version of wasmtime-wasi-http 48; 0.2.x versions link to each other.
const TYPES_P2: &str = "wasi:http/types@0.2.12";

/// The 0.3 version of wasmtime-wasi-http 48; 0.3.x versions link to each other.
const TYPES_P3: &str = "wasi:http/types@0.3.0";

/// The versions in which wasmtime 48 has WASI's interfaces.
pub(crate) const VERSIONS: [&str; 2] = ["0.2.12", "0.3.0"];

/// Links WASI, and what this service has besides.
///
/// That is the whole of WASI 0.2 and 0.3 and not the HTTP worlds alone: what Python's and
/// JavaScript's toolchains emit imports all of `wasi:cli`, filesystem and sockets too. The contexts
/// behind the imports grant nothing that the operator did not.
pub(crate) fn linker(
    engine: &wasmtime::Engine,
    capabilities: &Grants,
) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;

    p2::bindings::http::types::add_to_linker::<GuestState, WasiHttp>(
        &mut linker,
        &p2::bindings::LinkOptions::default().into(),
        GuestState::http,
    )?;
    p3::bindings::http::types::add_to_linker::<GuestState, WasiHttp>(
        &mut linker,
        GuestState::http,
    )?;

    capabilities.link(&mut linker)?;

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
    use crate::guest_state::GuestState;

    /// Defines something.
    type Add = fn(&mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Asserts that all of these define something over the stock functions. The names of the stock interfaces
    /// change with wasmtime; definitions under an old one would have no effect.
    pub(super) fn assert_over_the_stock_ones(all: &[Add]) {
        let engine = Engine::new().unwrap();
        let mut linker = Linker::new(engine.for_guest(&[]).unwrap());
        wasmtime_wasi::p2::add_to_linker_async::<GuestState>(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker::<GuestState>(&mut linker).unwrap();
        for add in all {
            let error = add(&mut linker).unwrap_err();
            assert!(format!("{error:#}").contains("defined twice"), "{error:#}");
        }
    }
}
