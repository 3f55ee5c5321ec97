//! wasmtime's own calls and instances without the pool. The difference is the pool's overhead.

use std::pin::Pin;

use anyhow::{Result, anyhow};
use futures::future::try_join_all;
use headwater_core::Limits;
use headwater_runtime::measure::{self, By, Stores};
use headwater_runtime::{Engine, GuestState};
use http::Request;
use http_body_util::BodyExt;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p3};

use crate::hello;

/// A 0.3 component with the same stores and imports as the pool's, and without the pool.
pub(crate) struct BareService {
    pub(crate) pre: ServicePre<GuestState>,
    pub(crate) stores: Stores,
}

/// One instance of a [`BareService`], for sequential or concurrent calls. Dropping it ends the instance.
pub(crate) struct BareInstance {
    store: Store<GuestState>,
    guest: Service,
}

impl BareService {
    pub(crate) fn load(engine: &Engine, binary: &[u8]) -> Result<Self> {
        let load = || {
            let compiler = engine.compiler();
            let engine = engine.for_guest(binary)?;
            let component = compiler.component(engine, binary, "bench")?;
            let pre = measure::linker(engine)?.instantiate_pre(&component)?;
            wasmtime::error::Ok(Self {
                pre: ServicePre::new(pre)?,
                stores: Stores::new(engine, By::Stack, &Limits::default()),
            })
        };
        load().map_err(failed)
    }

    pub(crate) async fn start(&self) -> Result<BareInstance> {
        let mut store = self.stores.store().map_err(failed)?;
        let guest = self.pre.instantiate_async(&mut store).await;
        let guest = guest.map_err(failed)?;
        Ok(BareInstance { store, guest })
    }
}

impl BareInstance {
    /// Makes `each` calls in each of `concurrent` parallel turns and reads the answers to their end, all in
    /// one event loop and one task.
    pub(crate) async fn call(&mut self, concurrent: usize, each: usize) -> Result<()> {
        let guest = &self.guest;
        let done = self.store.run_concurrent(async |accessor| {
            let turns = (0..concurrent).map(async |_| {
                for _ in 0..each {
                    call(accessor, guest).await?;
                }
                wasmtime::error::Ok(())
            });
            try_join_all(turns).await
        });
        done.await.flatten().map_err(failed)?;
        Ok(())
    }
}

/// Resolves when the guest is done with the request's body.
type Sent = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Makes wasmtime's part of `pool::call`, in the same order, and reads the answer.
async fn call(accessor: &Accessor<GuestState>, guest: &Service) -> wasmtime::Result<()> {
    // The server makes a scope for each request, and the pool's requests have one too.
    let scope = hello::scope();
    let request = Request::get("http://localhost/").body(to_wasi(headwater_core::empty()))?;
    let handler = guest.wasi_http_handler();
    let (call, sent) = accessor.with(|mut access| {
        let view = access.data_mut().http();
        let (request, sent) = p3::Request::from_http(view.hooks, request);
        let request = view.table.push(request)?;
        // As the pool does; the box also ends the future's borrow of the store.
        let sent: Sent = Box::pin(sent);
        let call = handler
            .func_handle()
            .start_call_concurrent(access.as_context_mut(), (request,))?;
        wasmtime::error::Ok((call, sent))
    })?;
    let (answer,) = handler
        .func_handle()
        .finish_call_concurrent(accessor, call)
        .await?;
    let answer = accessor.with(|mut access| {
        let answer = access.get().table().delete(answer?)?;
        answer.into_http_with_getter(access.as_context_mut(), sent, GuestState::http)
    })?;
    answer.into_body().collect().await?;
    scope.end();
    Ok(())
}

/// Converts a request's body for the guest.
pub(crate) fn to_wasi(body: headwater_core::Body) -> WasiBody {
    body.map_err(|error| Error::InternalError(Some(error.to_string())))
        .boxed_unsync()
}

pub(crate) fn failed(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("the guest that is measured failed: {error:#}")
}
