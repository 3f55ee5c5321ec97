//! One request in an instance, from the call of the guest to its return.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use headwater_core::RequestScope;
use http::Request;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, GuestTaskId, Resource, TypedFuncCallConcurrent};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p2, p3};

use crate::action::{HookCall, HookRun};
use crate::attribution;
use crate::guest_state::GuestState;
use crate::pool::guest::Guest;
use crate::pool::no_answer::{BodyRefused, NoResponse};
use crate::pool::poll_gate::{Given, PollGate};
use crate::pool::queued_request::InstanceRecord;
use crate::pool::written::Answer;

/// A prepared call: its task exists, but the guest has not executed any instruction for it.
pub(crate) enum Call<'a> {
    Service {
        guest: &'a p3::bindings::Service,
        call: ServiceCall,
        sent: Sent,
        answer: oneshot::Sender<Answer>,
    },
    /// A call of 0.2. The guest answers in the middle of the call.
    Proxy {
        guest: &'a p2::bindings::Proxy,
        call: ProxyCall,
        answer: Once,
    },
    /// A call of a hook of an action component.
    Hook { run: HookRun, answer: Once },
}

type ServiceCall = TypedFuncCallConcurrent<
    GuestState,
    (Resource<p3::Request>,),
    (Result<Resource<p3::Response>, p3::bindings::http::types::ErrorCode>,),
>;

type ProxyCall = TypedFuncCallConcurrent<
    GuestState,
    (
        Resource<p2::bindings::http::types::IncomingRequest>,
        Resource<p2::bindings::http::types::ResponseOutparam>,
    ),
    (),
>;

/// Resolves when the guest is done with the request's body, and reports errors to the guest.
type Sent = Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>;

/// The sender of an answer, used once from either of two places.
#[derive(Clone)]
pub(crate) struct Once(Arc<Mutex<Option<oneshot::Sender<Answer>>>>);

impl Once {
    fn new(answer: oneshot::Sender<Answer>) -> Self {
        Self(Arc::new(Mutex::new(Some(answer))))
    }

    fn give(&self, gate: &PollGate, answer: impl FnOnce() -> Given) {
        let sender = self.0.lock().take();
        if let Some(sender) = sender {
            gate.answer(sender, answer());
        }
    }

    /// Waits until the request is dropped, if the answer has not been sent before.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.lock() {
            Some(sender) => sender.poll_closed(cx),
            // The answer was sent; the call goes on to its end.
            None => Poll::Pending,
        }
    }
}

impl<'a> Call<'a> {
    /// Prepares the call, and records the request of its task before the guest runs.
    pub(crate) fn start(
        mut store: StoreContextMut<'_, GuestState>,
        guest: &'a Guest,
        instance: &Arc<InstanceRecord>,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
        answer: oneshot::Sender<Answer>,
    ) -> wasmtime::Result<Self> {
        // Ticks that passed while nothing ran must not count for this guest.
        store.set_epoch_deadline(1);
        attribution::starting(&mut store);
        let (call, task) = match guest {
            Guest::Http(Proxy::P3(guest)) => {
                start_service(store.as_context_mut(), guest, request, answer)?
            }
            Guest::Http(Proxy::P2(guest)) => {
                start_proxy(store.as_context_mut(), guest, instance, request, answer)?
            }
            Guest::Action(guest) => {
                let (run, task) = HookCall::of(request)?.start(store.as_context_mut(), guest)?;
                let answer = Once::new(answer);
                (Call::Hook { run, answer }, task)
            }
        };
        attribution::started(&mut store, task, scope);
        Ok(call)
    }

    /// Runs the call until the guest has returned and its answer is delivered. An error is a trap: the
    /// instance has failed.
    ///
    /// A 0.3 call whose request was dropped is counted as abandoned and continues: the response that
    /// its guest may still return must be taken and closed, or the task that writes its body would
    /// wait for a reader for as long as the instance lives.
    pub(crate) async fn run(
        self,
        accessor: &Accessor<GuestState>,
        gate: &PollGate,
        abandoned: &AtomicUsize,
    ) -> wasmtime::Result<()> {
        match self {
            Self::Service {
                guest,
                call,
                mut sent,
                mut answer,
            } => {
                let mut returned = pin!(
                    guest
                        .wasi_http_handler()
                        .func_handle()
                        .finish_call_concurrent(accessor, call)
                );
                let waited = wait_for(returned.as_mut(), &mut sent, &mut answer, gate).await;
                let returned = match waited {
                    Waited::Returned(returned) => returned,
                    Waited::Closed | Waited::Refused(_) => {
                        if let Waited::Refused(error) = waited {
                            let (closed, _) = oneshot::channel();
                            let answer = std::mem::replace(&mut answer, closed);
                            gate.answer(answer, Err(BodyRefused(error).into()));
                        }
                        abandoned.fetch_add(1, Ordering::Relaxed);
                        let returned = returned.await;
                        abandoned.fetch_sub(1, Ordering::Relaxed);
                        returned
                    }
                };
                let response = match returned?.0 {
                    Ok(response) => accessor.with(|mut access| {
                        let response = access.get().table.delete(response)?;
                        response.into_http_with_getter(
                            access.as_context_mut(),
                            sent,
                            GuestState::http,
                        )
                    }),
                    Err(code) => Err(code.into()),
                };
                accessor.with(|mut access| access.get().meter.settle());
                gate.answer(answer, response);
            }
            Self::Proxy {
                guest,
                call,
                answer,
            } => {
                let returned = guest
                    .wasi_http_incoming_handler()
                    .func_handle()
                    .finish_call_concurrent(accessor, call);
                if let Some(returned) = unless_closed(returned, &answer).await {
                    returned?;
                    answer.give(gate, || Err(NoResponse.into()));
                }
            }
            Self::Hook { run, answer } => {
                if let Some(returned) = unless_closed(run.finish(accessor), &answer).await {
                    let response = returned?;
                    accessor.with(|mut access| access.get().meter.settle());
                    answer.give(gate, || Ok(response));
                }
            }
        }
        Ok(())
    }
}

fn start_service<'a>(
    mut store: StoreContextMut<'_, GuestState>,
    guest: &'a p3::bindings::Service,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> wasmtime::Result<(Call<'a>, GuestTaskId)> {
    let view = store.data_mut().http();
    let (request, sent) = p3::Request::from_http(view.hooks, request);
    let request = view.table.push(request)?;
    let call = guest
        .wasi_http_handler()
        .func_handle()
        .start_call_concurrent(store, (request,))?;
    let task = call.task();
    let sent = Box::pin(sent);
    let call = Call::Service {
        guest,
        call,
        sent,
        answer,
    };
    Ok((call, task))
}

fn start_proxy<'a>(
    mut store: StoreContextMut<'_, GuestState>,
    guest: &'a p2::bindings::Proxy,
    instance: &Arc<InstanceRecord>,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> wasmtime::Result<(Call<'a>, GuestTaskId)> {
    let answer = Once::new(answer);
    let meter = store.data().meter.clone();
    let mut view = store.data_mut().http();
    let scheme = match request.uri().scheme_str() {
        Some("https") => p2::bindings::http::types::Scheme::Https,
        _ => p2::bindings::http::types::Scheme::Http,
    };
    let request = view.new_incoming_request(scheme, request)?;
    let outparam = view.new_response_outparam_from_callback({
        let (answer, instance) = (answer.clone(), instance.clone());
        move |response| {
            meter.settle();
            answer.give(&instance.gate, || match response {
                Ok(response) => Ok(response.map(BodyExt::boxed_unsync)),
                Err(code) => Err(code.into()),
            });
        }
    })?;
    let call = guest
        .wasi_http_incoming_handler()
        .func_handle()
        .start_call_concurrent(store, (request, outparam))?;
    let task = call.task();
    let call = Call::Proxy {
        guest,
        call,
        answer,
    };
    Ok((call, task))
}

/// The outcome of waiting for a 0.3 call.
enum Waited<T> {
    Returned(T),
    Closed,
    /// The guest wrote this error as the result of the request's body, and did not return a response
    /// in the same poll of its instance.
    Refused(wasmtime_wasi_http::Error),
}

/// Waits until the call returns, the request is dropped, or its body has an error as its result. After
/// such an error a guest that passes errors on returns no response.
async fn wait_for<T>(
    mut returned: Pin<&mut impl Future<Output = T>>,
    sent: &mut Sent,
    answer: &mut oneshot::Sender<Answer>,
    gate: &PollGate,
) -> Waited<T> {
    let mut is_sent = false;
    let mut refused = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = returned.as_mut().poll(cx) {
            return Poll::Ready(Waited::Returned(output));
        }
        if !is_sent && let Poll::Ready(result) = sent.as_mut().poll(cx) {
            is_sent = true;
            // Later polls find it resolved.
            *sent = Box::pin(std::future::ready(Ok(())));
            if let Err(error) = result {
                refused = Some((error, gate.openings()));
                // Wakes this task after the current poll of the instance.
                let _ = gate.poll_open(cx);
            }
        }
        if let Some((error, _)) = refused.take_if(|(_, at)| *at != gate.openings()) {
            return Poll::Ready(Waited::Refused(error));
        }
        answer.poll_closed(cx).map(|()| Waited::Closed)
    })
    .await
}

/// Returns the output of `work`, or `None` if the request is dropped before that.
async fn unless_closed<T>(work: impl Future<Output = T>, answer: &Once) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        answer.poll_closed(cx).map(|()| None)
    })
    .await
}
