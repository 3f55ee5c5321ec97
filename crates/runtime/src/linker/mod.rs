//! What guests import.
//!
//! # How an import gets its attribution
//!
//! By one call, `attribution::current(store)`, made synchronously in the import function: before its
//! first await, while the guest that called is on the stack. What it gives is carried along by value,
//! as the [`headwater_core::Attribution`] that it is. So an import needs the store:
//!
//! - defined by hand, with `func_wrap` or `func_wrap_async`, it is given the store;
//! - of generated bindings, those whose host trait is `HostWithStore` give an `Access` or an `Accessor`,
//!   for a `HasData` type of our own that may delegate to the stock one. The others have no store; such
//!   a function is defined by hand over the stock one (`allow_shadowing`), and calls it.
//!
//! A key-value store, say, would be attributed so:
//!
//! ```ignore
//! linker.instance("wasi:keyvalue/store@0.2.0")?.func_wrap_async(
//!     "[method]bucket.get",
//!     |mut store: StoreContextMut<'_, State>, (bucket, key): (Resource<Bucket>, String)| {
//!         // Here, and not in the future: it may first be polled when another task is on the stack.
//!         let attribution = attribution::current(store.as_context_mut());
//!         Box::new(async move {
//!             let span = ClientSpan::start(KeyValue { attribution: &attribution, .. });
//!             Ok((store.data_mut().buckets.get(bucket, key).await,))
//!         })
//!     },
//! )?;
//! ```

mod stdio;
mod streams;

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView, p2, p3};

use crate::attribution::{self, Names};
use crate::state::State;

/// Links everything that a component for an HTTP world may import.
///
/// That is the whole of WASI 0.2 and 0.3 and not the HTTP worlds alone: what Python's and
/// JavaScript's toolchains emit imports all of `wasi:cli`, filesystem and sockets too. The contexts
/// behind the imports grant nothing that the operator did not.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;

    p2::bindings::http::types::add_to_linker::<State, WasiHttp>(
        &mut linker,
        &p2::bindings::LinkOptions::default().into(),
        State::http,
    )?;
    p3::bindings::http::types::add_to_linker::<State, WasiHttp>(&mut linker, State::http)?;

    // The two ways out, which are ours: each takes the attribution of the call first.
    p3::bindings::http::client::add_to_linker::<State, AttributedClient>(&mut linker, State::http)?;
    add_outgoing_handler(&mut linker)?;
    attribution::add_to_linker(&mut linker)?;

    // What guests print, over the stock functions.
    linker.allow_shadowing(true);
    stdio::add(&mut linker)?;
    streams::add(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// `wasi:http/client@0.3`, attributed.
struct AttributedClient;

impl HasData for AttributedClient {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl p3::bindings::http::client::HostWithStore<State> for AttributedClient {
    async fn send(
        accessor: &Accessor<State, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<p3::bindings::http::types::ErrorCode>> {
        // In the future's first poll, which happens within the guest's call: the only time when
        // the call stack is the caller's. The stock implementation calls the `send_request` hook
        // in the same poll, before it awaits anything; the hook takes the attribution from here.
        accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            // A request that is not there is the stock implementation's to report.
            let named = store.data().table.get(&request);
            let names = named.map_or_else(|_| Names::default(), |it| Names::read(&it.headers));
            note_caller(store.as_context_mut(), &names);
        });
        <WasiHttp as p3::bindings::http::client::HostWithStore<State>>::send(
            &accessor.with_getter::<WasiHttp>(State::http),
            request,
        )
        .await
    }
}

/// `wasi:http/outgoing-handler@0.2`, attributed.
///
/// The stock binding's host trait has no store, hence no call stack; so the one function is defined
/// here by hand. A 0.3 component may import it as well.
fn add_outgoing_handler(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p2::bindings::http::outgoing_handler::{Host, OutgoingRequest, RequestOptions};
    use p2::bindings::http::types::{ErrorCode, FutureIncomingResponse, Host as Types};

    type Arguments = (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>);
    type Answer = (Result<Resource<FutureIncomingResponse>, ErrorCode>,);

    linker
        // The 0.2 version of wasmtime-wasi-http 48; 0.2.x versions link to each other.
        .instance("wasi:http/outgoing-handler@0.2.12")?
        .func_wrap(
            "handle",
            |mut store: StoreContextMut<'_, State>,
             (request, options): Arguments|
             -> wasmtime::Result<Answer> {
                let names = Names::read(&store.data().table.get(&request)?.headers);
                note_caller(store.as_context_mut(), &names);
                let mut http = store.data_mut().http();
                match http.handle(request, options) {
                    Ok(response) => Ok((Ok(response),)),
                    Err(error) => Ok((Err(Types::convert_error_code(&mut http, error)?),)),
                }
            },
        )
}

/// Takes the attribution of the outgoing request that is being made, whose headers repeat these
/// names, and leaves it for the `send_request` hook.
fn note_caller(mut store: StoreContextMut<'_, State>, names: &Names) {
    let attribution = attribution::of_outgoing(store.as_context_mut(), names);
    store.data().unattributed.note(&attribution);
    store.data_mut().hooks.next = Some(attribution);
}
