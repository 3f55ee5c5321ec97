//! The stock dispatch of wasmtime-wasi-http, for comparison with the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use headwater_core::{Body, BodyError, Fault, Handler, HandlerFuture, RequestScope};
use headwater_runtime::measure::{self, Stores};
use headwater_runtime::{Engine, GuestState, PoolSettings, World};
use http::Request;
use http_body_util::BodyExt;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};

use crate::bare::{BareService, to_wasi};

/// A 0.3 component behind `ProxyHandler`, with the same stores, imports and reuse as the pool's.
pub(crate) struct StockService(ProxyHandler<Instances>);

struct Instances {
    pre: ProxyPre<GuestState>,
    stores: Stores,
    settings: PoolSettings,
}

impl StockService {
    pub(crate) fn load(engine: &Engine, binary: &[u8]) -> anyhow::Result<Self> {
        let BareService { pre, stores } = BareService::load(engine, binary)?;
        Ok(Self(ProxyHandler::new(Instances {
            pre: ProxyPre::P3(pre),
            stores,
            settings: PoolSettings::of(World::Service),
        })))
    }
}

impl Handler for StockService {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        let handler = self.0.clone();
        Box::pin(async move {
            let answer = handler.handle(scope, request.map(to_wasi)).await;
            match answer {
                Ok(answer) => Ok(answer.map(|body| body.map_err(BodyError::from).boxed_unsync())),
                Err(error) => Err(Fault::trap().caused_by(format!("{error:#}"))),
            }
        })
    }
}

impl HandlerState for Instances {
    type StoreData = GuestState;
    type WorkerExpiration = Never;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<GuestState, Never, Worker>> {
        let mut store = self.stores.store()?;
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: GuestState::http,
            expiration: Never,
            state: Worker {
                requests: *self.settings.max_requests_per_instance.end(),
                concurrent: self.settings.max_concurrent_per_instance,
            },
        })
    }
}

struct Worker {
    requests: usize,
    concurrent: usize,
}

impl WorkerState for Worker {
    type StoreData = GuestState;
    type RequestData = Arc<RequestScope>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.requests {
            ShouldAccept::Never
        } else if concurrent >= self.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, GuestState>,
        scope: Arc<RequestScope>,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        measure::started(&mut store, task, scope);
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<GuestState>, _result: Result<(), wasmtime::Error>) {
        drop(store);
    }
}

/// Keeps instances for as long as the measurement.
struct Never;

impl WorkerExpiration for Never {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>, _: WorkerStatus, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}
