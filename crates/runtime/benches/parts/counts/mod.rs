//! The pieces whose instructions `cargo xtask bench --check` counts. It runs this binary by valgrind's
//! callgrind, once for each piece: a piece must not depend on which others were counted before it.
//!
//! A piece runs in one thread, without sockets, without the ticker that makes guests yield, and in rounds: the
//! first one warms caches up, and of the others the median counts. What other threads do is not counted.

mod egress;
mod guests;
mod server;
mod telemetry;
mod wagi;

use anyhow::{Result, bail};
use headwater_runtime::measure;

use crate::rounds::Stopwatch;

/// Rounds of a piece, the warm-up included.
const ROUNDS: usize = 4;

/// A piece of the host.
struct Piece {
    name: &'static str,
    /// The number of times that a round does it.
    operations: u32,
    /// Runs all rounds.
    count: fn(u32) -> Result<()>,
}

const fn piece(name: &'static str, operations: u32, count: fn(u32) -> Result<()>) -> Piece {
    Piece {
        name,
        operations,
        count,
    }
}

/// In the order of a request's life.
const PIECES: [Piece; 24] = [
    piece("server.route-by-path", 1_250, server::route_by_path),
    piece("server.route-by-host", 1_250, server::route_by_host),
    piece("server.scope", 1_000, server::scope),
    piece("server.request", 500, server::request),
    piece("server.request-observed", 500, server::request_observed),
    piece("telemetry.span-off", 1_000, telemetry::span_off),
    piece("telemetry.span-unsampled", 500, telemetry::span_unsampled),
    piece("telemetry.span-sampled", 500, telemetry::span_sampled),
    piece("telemetry.metrics", 1_000, telemetry::metrics),
    piece("runtime.code-in-use", 20, guests::code_in_use),
    piece("runtime.code-from-disk", 4, guests::code_from_disk),
    piece("runtime.wasmtime-call", 500, guests::wasmtime_call),
    piece("runtime.request", 500, guests::request),
    piece("runtime.request-fresh", 50, guests::request_fresh),
    piece("runtime.request-composed", 500, guests::request_composed),
    piece("runtime.import-call", 5_000, guests::import_call),
    piece(
        "runtime.import-call-attributed",
        5_000,
        guests::import_call_attributed,
    ),
    piece("runtime.composed-call", 500, guests::composed_call),
    piece(
        "runtime.composed-call-ledger",
        500,
        guests::composed_call_ledger,
    ),
    piece("egress.grants", 1_000, egress::grants),
    piece("egress.request-inside", 500, egress::request_inside),
    piece("wagi.environment", 200, wagi::environment),
    piece("wagi.response-head", 1_000, wagi::response_head),
    piece("wagi.request", 50, wagi::request),
];

/// Counts a piece, or lists all with their numbers of operations, a line each.
pub(crate) fn count(arguments: &[String]) -> Result<()> {
    let [name] = arguments else {
        for Piece {
            name, operations, ..
        } in PIECES
        {
            println!("{name} {operations}");
        }
        return Ok(());
    };
    let Some(piece) = PIECES.into_iter().find(|piece| piece.name == name) else {
        bail!("no piece is called {name}");
    };
    measure::clocks_off();
    (piece.count)(piece.operations)
}

/// Runs the rounds of a piece: the parameter is the number of the operation, from 0 in each round.
fn rounds(operations: u32, mut each: impl FnMut(usize) -> Result<()>) -> Result<()> {
    for _ in 0..ROUNDS {
        let stopwatch = Stopwatch::start();
        for nth in 0..operations as usize {
            each(nth)?;
        }
        stopwatch.stop();
    }
    Ok(())
}

/// As [`rounds`].
async fn async_rounds(operations: u32, mut each: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    for _ in 0..ROUNDS {
        let stopwatch = Stopwatch::start();
        for _ in 0..operations {
            each().await?;
        }
        stopwatch.stop();
    }
    Ok(())
}
