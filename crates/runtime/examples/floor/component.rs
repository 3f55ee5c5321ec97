//! Components, with wasmtime's own host functions.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use headwater_runtime::Engine;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Linker, ResourceTable};
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView, p2, p3};

use crate::outgoing::Outgoing;
use crate::{Answer, failed};

pub(crate) enum Component {
    /// Instances that serve many requests at once, in turn.
    Reused(Vec<UnboundedSender<Call>>, AtomicUsize),
    /// A fresh instance for each request.
    Fresh(Box<(ProxyPre<State>, Outgoing)>),
}

type Call = (Request<Incoming>, oneshot::Sender<Answer>);

/// The least state with which wasmtime's host functions work.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
}

impl Component {
    /// Loads it, compiled code from the cache, and starts its instances on the current runtime.
    pub(crate) fn start(engine: &Engine, binary: &[u8], instances: usize) -> Result<Self> {
        let compiler = engine.compiler();
        let engine = engine.for_guest(binary)?;
        let load = || {
            let component = compiler.component(engine, binary, "floor")?;
            let mut linker = Linker::new(engine);
            wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            p2::add_only_http_to_linker_async(&mut linker)?;
            p3::add_to_linker(&mut linker)?;
            linker.instantiate_pre(&component)
        };
        let pre = load().map_err(failed)?;
        let outgoing = Outgoing::new();
        let Ok(pre) = ServicePre::new(pre.clone()) else {
            let pre = ProxyPre::new(pre).map_err(failed)?;
            return Ok(Self::Fresh(Box::new((pre, outgoing))));
        };
        let senders = (0..instances).map(|_| {
            let (sender, calls) = unbounded_channel();
            let instance = instance(pre.clone(), store(engine, &outgoing), calls);
            tokio::spawn(async {
                if let Err(error) = instance.await {
                    eprintln!("error: {error:#}");
                }
            });
            sender
        });
        Ok(Self::Reused(senders.collect(), AtomicUsize::new(0)))
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Answer> {
        match self {
            Self::Reused(instances, next) => {
                let at = next.fetch_add(1, Ordering::Relaxed) % instances.len();
                let (sender, answer) = oneshot::channel();
                let sent = instances[at].send((request, sender));
                sent.map_err(|_| anyhow!("the instance has ended"))?;
                answer.await.context("the instance has failed")
            }
            Self::Fresh(fresh) => {
                let (pre, outgoing) = &**fresh;
                answer_freshly(pre.clone(), outgoing, request).await
            }
        }
    }
}

fn store(engine: &wasmtime::Engine, outgoing: &Outgoing) -> Store<State> {
    let mut store = Store::new(
        engine,
        State {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            outgoing: outgoing.clone(),
            table: ResourceTable::new(),
        },
    );
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

/// Starts an instance and serves its calls, all at once.
async fn instance(
    pre: ServicePre<State>,
    mut store: Store<State>,
    mut calls: UnboundedReceiver<Call>,
) -> wasmtime::Result<()> {
    let guest = pre.instantiate_async(&mut store).await?;
    let serve = async |accessor: &Accessor<State>| {
        let mut running = FuturesUnordered::new();
        loop {
            let next = std::pin::pin!(calls.recv());
            if running.is_empty() {
                match next.await {
                    Some(one) => running.push(call(accessor, &guest, one)),
                    None => return,
                }
                continue;
            }
            match select(next, running.next()).await {
                Either::Left((Some(one), _)) => running.push(call(accessor, &guest, one)),
                Either::Left((None, _)) => return,
                Either::Right((done, _)) => {
                    if let Some(Err(error)) = done {
                        eprintln!("error: {error:#}");
                    }
                }
            }
        }
    };
    store.run_concurrent(serve).await
}

/// Resolves when the guest is done with the request's body.
type Sent = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

async fn call(
    accessor: &Accessor<State>,
    guest: &Service,
    (request, answered): Call,
) -> wasmtime::Result<()> {
    let (request, sent) = accessor.with(|mut access| {
        let view = access.data_mut().http();
        let (request, sent) = p3::Request::from_http(view.hooks, request.map(body));
        let sent: Sent = Box::pin(sent);
        wasmtime::error::Ok((view.table.push(request)?, sent))
    })?;
    let answer = guest
        .wasi_http_handler()
        .call_handle(accessor, request)
        .await??;
    let answer = accessor.with(|mut access| {
        let answer = access.data_mut().table.delete(answer)?;
        answer.into_http_with_getter(access.as_context_mut(), sent, State::http)
    })?;
    // The client may have left.
    let _ = answered.send(answer);
    Ok(())
}

async fn answer_freshly(
    pre: ProxyPre<State>,
    outgoing: &Outgoing,
    request: Request<Incoming>,
) -> Result<Answer> {
    let mut store = store(pre.engine(), outgoing);
    let (sender, answer) = oneshot::channel();
    let prepared = (|| {
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request.map(body))?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        wasmtime::error::Ok((request, out))
    })();
    let (request, out) = prepared.map_err(failed)?;
    // The guest may go on after the head of its answer.
    let run = tokio::spawn(async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut store, request, out).await
    });
    match answer.await {
        Ok(answer) => answer.map_err(|code: ErrorCode| anyhow!("{code}")),
        Err(_) => Err(match run.await? {
            Ok(()) => anyhow!("no answer was set"),
            Err(error) => failed(error),
        }),
    }
}

fn body(body: Incoming) -> WasiBody {
    body.map_err(|error| Error::InternalError(Some(error.to_string())))
        .boxed_unsync()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outgoing,
        }
    }
}
