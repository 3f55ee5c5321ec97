//! The imports of all guests: WASI itself, with Headwater's replacements of stock functions. Other interfaces are
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

/// The versions of WASI's interfaces in wasmtime 48.
pub(crate) const VERSIONS: [&str; 2] = ["0.2.12", "0.3.0"];

/// Links WASI and the service's capabilities.
///
/// All of WASI 0.2 and 0.3 is linked, not only the HTTP worlds: components of Python's and JavaScript's toolchains
/// import all of `wasi:cli`, filesystem and sockets. The contexts behind the imports grant only what the operator
/// granted.
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

    // These replace stock functions: the output of guests, and functions that the stock linker gets wrong.
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

#[cfg(test)]
mod testing {
    use wasmtime::component::Linker;

    use crate::engine::Engine;
    use crate::guest_state::GuestState;

    type Add = fn(&mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Asserts that each of these replaces a stock function. The names of the stock interfaces change with wasmtime;
    /// definitions under an old name would have no effect.
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
