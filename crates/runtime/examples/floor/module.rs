//! WAGI modules, with wasmtime's own host functions.

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater_runtime::Engine;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full};
use wasmtime::{InstancePre, Linker, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{I32Exit, WasiCtx};

use crate::{Answer, failed};

/// More than any guest of the benchmark prints.
const OUTPUT: usize = 1 << 20;

/// A fresh instance for each request.
pub(crate) struct Module(InstancePre<WasiP1Ctx>);

impl Module {
    pub(crate) fn load(engine: &Engine, binary: &[u8]) -> Result<Self> {
        let compiler = engine.compiler();
        let engine = engine.for_guest(binary)?;
        let load = || {
            let module = compiler.module(engine, binary, "floor")?;
            let mut linker = Linker::new(engine);
            p1::add_to_linker_async(&mut linker, |state| state)?;
            linker.instantiate_pre(&module)
        };
        Ok(Self(load().map_err(failed)?))
    }

    /// Runs the module with the shortest environment, and returns what it printed.
    pub(crate) async fn answer(&self) -> Result<Answer> {
        let printed = MemoryOutputPipe::new(OUTPUT);
        let state = WasiCtx::builder()
            .stdout(printed.clone())
            .env("REQUEST_METHOD", "GET")
            .env("PATH_INFO", "/a")
            .env("QUERY_STRING", "b=c")
            .build_p1();
        let mut store = Store::new(self.0.module().engine(), state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        run(&self.0, &mut store).await.map_err(failed)?;
        drop(store);
        let printed = printed.contents();
        let head = printed.windows(2).position(|pair| pair == b"\n\n");
        let head = head.context("no empty line after the headers")?;
        let kind = printed[..head].strip_prefix(b"content-type:");
        let kind = kind.unwrap_or(b"text/plain").trim_ascii();
        let body: Full<Bytes> = printed.slice(head + 2..).into();
        let body = body.map_err(|never| match never {}).boxed_unsync();
        Ok(Response::builder().header(CONTENT_TYPE, kind).body(body)?)
    }
}

async fn run(
    module: &InstancePre<WasiP1Ctx>,
    store: &mut Store<WasiP1Ctx>,
) -> wasmtime::Result<()> {
    let instance = module.instantiate_async(&mut *store).await?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    match start.call_async(&mut *store, ()).await {
        Err(error)
            if error
                .downcast_ref::<I32Exit>()
                .is_none_or(|exit| exit.0 != 0) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
