//! wasmtime's own calls and instances with nothing of ours around them: what the pool adds is the
//! difference.

use std::pin::Pin;
use std::sync::Arc;

use futures::future::try_join_all;
use headwater_core::empty;
use headwater_telemetry::{LimitLog, Metrics};
use http::Request;
use http_body_util::BodyExt;
use wasmtime::component::{Accessor, Component};
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};

use crate::attribution::Evidence;
use crate::capability::{Capabilities, ServiceContext};
use crate::engine::{Engine, Reclaim};
use crate::forbidden::ForbiddenHeaders;
use crate::guest_name::GuestName;
use crate::guest_state::GuestState;
use crate::measure::{MeasureError, scope};
use crate::open_files::ServiceFiles;
use crate::output::ServiceOutput;
use crate::store_factory::StoreFactory;
use crate::threads::GuestThreads;
use crate::unattributed::Unattributed;
use crate::{linker, response};

/// A 0.3 component with the same stores and imports as the pool's, and without the pool.
pub struct BareService {
    pre: ServicePre<GuestState>,
    store_factory: StoreFactory,
}

/// One instance of a [`BareService`], for calls one after another or at once.
pub struct BareInstance {
    store: Store<GuestState>,
    guest: Service,
}

impl BareService {
    /// Compiles and links a component.
    ///
    /// # Errors
    ///
    /// When it is no component of `wasi:http/service@0.3`.
    pub fn load(
        engine: &Engine,
        binary: &[u8],
        limits: &headwater_core::Limits,
    ) -> Result<Self, MeasureError> {
        let engine = engine.for_guest(binary)?;
        let component = Component::new(engine, binary)?;
        let pre = linker::linker(engine, &Capabilities::default().nothing())?
            .instantiate_pre(&component)?;
        Ok(Self {
            pre: ServicePre::new(pre)?,
            store_factory: store_factory(engine, "bare", limits),
        })
    }

    /// Starts an instance. To drop it is to dispose of it.
    ///
    /// # Errors
    ///
    /// When the guest cannot be started.
    pub async fn start(&self) -> Result<BareInstance, MeasureError> {
        let mut store = self
            .store_factory
            .store(0, &self.store_factory.threads.instance())?;
        let guest = self.pre.instantiate_async(&mut store).await?;
        Ok(BareInstance { store, guest })
    }
}

impl BareInstance {
    /// Makes `each` calls in each of `concurrent` turns that go on side by side, and reads the
    /// answers to their end: all in one event loop and one task.
    ///
    /// # Errors
    ///
    /// When the guest fails or does not answer.
    pub async fn call(&mut self, concurrent: usize, each: usize) -> Result<(), MeasureError> {
        let guest = &self.guest;
        self.store
            .run_concurrent(async |accessor| {
                let turns = (0..concurrent).map(async |_| {
                    for _ in 0..each {
                        call(accessor, guest).await?;
                    }
                    wasmtime::error::Ok(())
                });
                try_join_all(turns).await
            })
            .await??;
        Ok(())
    }
}

/// Resolves when the guest has done with the request's body.
type Sent = Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>;

/// What `pool::call` does of wasmtime's, in the same order, and the reading of the answer.
async fn call(accessor: &Accessor<GuestState>, guest: &Service) -> wasmtime::Result<()> {
    // The front makes it for each request, and the pool's requests have one too.
    let scope = scope();
    let request = Request::get("http://localhost/").body(response::to_wasi(empty()))?;
    let handler = guest.wasi_http_handler();
    let (call, sent) = accessor.with(|mut access| {
        let view = access.data_mut().http();
        let (request, sent) = p3::Request::from_http(view.hooks, request);
        let request = view.table.push(request)?;
        // As the pool does; the box ends the future's borrow of the store, too.
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
        let answer = access.get().table.delete(answer?)?;
        answer.into_http_with_getter(access.as_context_mut(), sent, GuestState::http)
    })?;
    answer.into_body().collect().await?;
    scope.end();
    Ok(())
}

/// What the instances that are measured are made by: no grants, the pool's limits.
pub(crate) fn store_factory(
    engine: &wasmtime::Engine,
    service: &str,
    limits: &headwater_core::Limits,
) -> StoreFactory {
    let service: Arc<str> = service.into();
    StoreFactory {
        engine: engine.clone(),
        reclaim: Reclaim::default(),
        capabilities: Capabilities::default().nothing().start(&ServiceContext {
            service: service.clone(),
            metrics: Metrics::default(),
        }),
        output: ServiceOutput::new(service.clone()),
        unattributed: Arc::new(Unattributed::new(service.clone(), GuestName::default())),
        files: ServiceFiles::new(limits, LimitLog::new(service.clone())),
        limits: LimitLog::new(service.clone()),
        threads: GuestThreads::default().service(),
        service,
        forbidden_headers: ForbiddenHeaders::default(),
        evidence: Evidence::Stack,
        hears_wakes: false,
        request_timeout: limits.request_timeout,
        guest_memory: limits.guest_memory,
        max_outgoing: usize::MAX,
        max_cpu_time: None,
        environment: Vec::new(),
        directories: Vec::new(),
    }
}
