//! The functions of `wasi:random` that return bytes, in both versions, generated in pieces.
//!
//! The stock functions generate up to 64 MiB at once, for a guest that may have no room for them. That takes a fifth
//! of a second or more. Here the task yields its thread between pieces.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;
use wasmtime_wasi::random::{DEFAULT_MAX_SIZE, WasiRandomCtx};
use wasmtime_wasi::{p2, p3};

use crate::guest_state::GuestState;

/// Bytes generated at once, in less than a millisecond.
const PIECE: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    P2,
    P3,
}

type Get = fn(&mut WasiRandomCtx, u64) -> wasmtime::Result<Vec<u8>>;

/// The interface, the function, its version and the stock function. The versions are wasmtime-wasi 48's; 0.2.x
/// versions link to each other.
const FUNCTIONS: [(&str, &str, Version, Get); 4] = [
    (
        "wasi:random/random@0.2.12",
        "get-random-bytes",
        Version::P2,
        p2::bindings::random::random::Host::get_random_bytes,
    ),
    (
        "wasi:random/insecure@0.2.12",
        "get-insecure-random-bytes",
        Version::P2,
        p2::bindings::random::insecure::Host::get_insecure_random_bytes,
    ),
    (
        "wasi:random/random@0.3.0",
        "get-random-bytes",
        Version::P3,
        p3::bindings::random::random::Host::get_random_bytes,
    ),
    (
        "wasi:random/insecure@0.3.0",
        "get-insecure-random-bytes",
        Version::P3,
        p3::bindings::random::insecure::Host::get_insecure_random_bytes,
    ),
];

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for (interface, function, version, get) in FUNCTIONS {
        linker.instance(interface)?.func_wrap_async(
            function,
            move |mut store: StoreContextMut<'_, GuestState>, (length,): (u64,)| {
                Box::new(async move {
                    let random = store.data_mut().wasi.random();
                    Ok((in_pieces(random, version, get, length).await?,))
                })
            },
        )?;
    }
    Ok(())
}

/// Returns as many bytes as the stock function. More than 64 MiB is an error in 0.2, and gives 64 MiB in 0.3.
async fn in_pieces(
    random: &mut WasiRandomCtx,
    version: Version,
    get: Get,
    length: u64,
) -> wasmtime::Result<Vec<u8>> {
    if version == Version::P2 && length > DEFAULT_MAX_SIZE {
        return get(random, length);
    }
    let length = length.min(DEFAULT_MAX_SIZE);
    let mut bytes = get(random, length.min(PIECE))?;
    while let rest = length.saturating_sub(bytes.len() as u64)
        && rest > 0
    {
        tokio::task::yield_now().await;
        bytes.extend(get(random, rest.min(PIECE))?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn as_many_bytes_are_given_as_by_the_stock_functions_with_a_pause_after_each_piece() {
        for (_, name, version, get) in FUNCTIONS {
            for (length, pauses) in [(0, 0), (7, 0), (PIECE, 0), (PIECE + 1, 1), (3 * PIECE, 2)] {
                let mut random = WasiRandomCtx::default();
                let mut made = pin!(in_pieces(&mut random, version, get, length));
                let mut paused = 0;
                let bytes = loop {
                    match poll!(&mut made) {
                        std::task::Poll::Ready(bytes) => break bytes.unwrap(),
                        std::task::Poll::Pending => paused += 1,
                    }
                };
                assert_eq!((bytes.len() as u64, paused), (length, pauses), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn in_version_2_more_than_there_may_be_is_an_error() {
        for (_, name, version, get) in FUNCTIONS {
            let mut random = WasiRandomCtx::default();
            let mut made = pin!(in_pieces(&mut random, version, get, u64::MAX));
            match poll!(&mut made) {
                std::task::Poll::Ready(made) => {
                    assert!(version == Version::P2 && made.is_err(), "{name}");
                }
                std::task::Poll::Pending => assert!(version == Version::P3, "{name}"),
            }
        }
    }

    /// The names of the stock interfaces change with wasmtime; definitions under old names would have no effect.
    #[test]
    fn these_functions_take_the_place_of_the_stock_ones() {
        let engine = wasmtime::Engine::default();
        for (interface, function, _, _) in FUNCTIONS {
            let mut linker = Linker::<GuestState>::new(&engine);
            wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
            wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
            let mut instance = linker.instance(interface).unwrap();
            let again = instance.func_wrap(function, |_, (_,): (u64,)| Ok((Vec::<u8>::new(),)));
            assert!(format!("{:#}", again.unwrap_err()).contains("defined twice"));
        }
    }
}
