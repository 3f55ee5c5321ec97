//! The cost of wasmtime itself: a server with nothing but a guest and plain hyper. `cargo xtask bench table`
//! compares Headwater with it.
//!
//! Plain hyper takes the requests. A 0.3 component has one instance for each processor, each with a bare
//! `run_concurrent` loop. A 0.2 component and a WAGI module have a fresh instance for each request. Outgoing
//! requests leave by one pooled client of hyper-util for each runtime, without TLS. The engine is Headwater's,
//! so compiled code and its cache, epochs and the reset of memory are the same. It has no pool of instances,
//! no attribution, no limits, no deadlines, no policy, no routing, no log and no telemetry.
//!
//! `floor PORT GUEST [shared|per-core]`: `shared` (default) is one work-stealing runtime, as Headwater has;
//! `per-core` is a runtime, a listener and an instance for each processor, so that no request leaves its
//! thread.
#![allow(clippy::print_stderr, reason = "a program for one benchmark")]

mod component;
mod module;
mod outgoing;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use headwater_core::empty;
use headwater_runtime::{Artifact, Engine};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use wasmtime_wasi_http::Error;

use crate::component::Component;
use crate::module::Module;

/// As in the binary that users run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Error>>;

/// A guest behind plain hyper.
enum Guest {
    Component(Component),
    Module(Module),
}

impl Guest {
    /// Loads it and starts its instances, on the current runtime.
    fn start(engine: &Engine, guest: &Artifact, instances: usize) -> Result<Self> {
        Ok(match guest {
            Artifact::Component(binary) => {
                Self::Component(Component::start(engine, binary, instances)?)
            }
            Artifact::Module(binary) => Self::Module(Module::load(engine, binary)?),
            Artifact::Toml(_) => bail!("a TOML file is not a guest"),
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer> {
        match self {
            Self::Component(component) => component.answer(request).await,
            Self::Module(module) => module.answer().await,
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, guest, threads) = match arguments.as_slice() {
        [port, guest] => (port, guest, "shared"),
        [port, guest, threads] => (port, guest, threads.as_str()),
        _ => bail!("usage: floor PORT GUEST [shared|per-core]"),
    };
    let port = port.parse().context("PORT")?;
    let guest = Artifact::read(guest.as_ref())?;
    let engine = Engine::new()?;
    let processors = thread::available_parallelism()?.get();
    match threads {
        "shared" => Runtime::new()?.block_on(serve(&engine, &guest, processors, port)),
        "per-core" => thread::scope(|scope| {
            let cores: Vec<_> = (0..processors)
                .map(|_| {
                    scope.spawn(|| {
                        let runtime = Builder::new_current_thread().enable_all().build()?;
                        runtime.block_on(serve(&engine, &guest, 1, port))
                    })
                })
                .collect();
            for core in cores {
                core.join().map_err(|_| anyhow!("a core panicked"))??;
            }
            Ok(())
        }),
        other => bail!("{other} is neither shared nor per-core"),
    }
}

async fn serve(engine: &Engine, guest: &Artifact, instances: usize, port: u16) -> Result<()> {
    let guest = Arc::new(Guest::start(engine, guest, instances)?);
    let listener = listen(port)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let guest = guest.clone();
        tokio::spawn(async move {
            let service = service_fn(async |request| {
                let answer = guest.answer(request).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|error| {
                    eprintln!("error: {error:#}");
                    let body =
                        empty().map_err(|error| Error::InternalError(Some(error.to_string())));
                    let mut answer = Response::new(body.boxed_unsync());
                    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    answer
                }))
            });
            // A client may leave at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Listens on a port that several listeners share.
fn listen(port: u16) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket.listen(1024)?)
}

pub(crate) fn failed(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}
