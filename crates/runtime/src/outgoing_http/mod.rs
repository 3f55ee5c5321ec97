//! Outgoing HTTP: the two interfaces by which a guest makes requests. Each first takes the attribution of
//! the call.

mod hooks;
mod outgoing;
mod request_body;

use headwater_egress::Egress;
use http::uri::PathAndQuery;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView, p2, p3};

use crate::attribution::{self, AttributionView, Names};

use self::hooks::OutgoingCall;
use self::request_body::Version;

pub(crate) use self::hooks::Hooks;
pub(crate) use self::outgoing::{Outgoing, OutgoingPermit};

/// The 0.3 interface, in the version of wasmtime-wasi-http 48; 0.3.x versions link to each other.
pub(crate) const CLIENT: &str = "wasi:http/client@0.3.0";

/// The 0.2 interface, in the version of wasmtime-wasi-http 48; 0.2.x versions link to each other.
pub(crate) const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// A view of the data that outgoing HTTP needs in an instance's store.
pub(crate) trait OutgoingView: AttributionView + WasiHttpView {
    /// Returns the hooks that the stock implementation calls, and the egress that requests leave by.
    ///
    /// # Errors
    ///
    /// Returns an error if the service has no egress.
    fn outgoing(&mut self) -> wasmtime::Result<(&mut Hooks, Egress)>;
}

pub(crate) fn add_to_linker<T: OutgoingView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    p3::bindings::http::client::add_to_linker::<T, AttributedClient>(linker, T::http)?;
    add_outgoing_handler(linker)
}

/// `wasi:http/client@0.3`, attributed.
struct AttributedClient;

impl HasData for AttributedClient {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl<T: OutgoingView> p3::bindings::http::client::HostWithStore<T> for AttributedClient {
    async fn send(
        accessor: &Accessor<T, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<p3::bindings::http::types::ErrorCode>> {
        // In the future's first poll, which happens within the guest's call: the only time when the call
        // stack is the caller's. The stock implementation calls the `send_request` hook in the same poll,
        // before it awaits anything; the hook takes the attribution from here.
        accessor
            .with(|mut access| {
                let mut store = access.as_context_mut();
                // The stock implementation reports a missing request.
                let named = store.data_mut().http().table.get_mut(&request);
                let names = named.map_or_else(
                    |_| Names::default(),
                    |request| {
                        request.path_with_query.get_or_insert_with(root);
                        Names::read(&request.headers)
                    },
                );
                note_call(store.as_context_mut(), &names, Version::P3)
            })
            .map_err(TrappableError::trap)?;
        <WasiHttp as p3::bindings::http::client::HostWithStore<T>>::send(
            &accessor.with_getter::<WasiHttp>(T::http),
            request,
        )
        .await
    }
}

/// `wasi:http/outgoing-handler@0.2`, attributed.
///
/// The stock binding's host trait has no store, hence no call stack, so the one function is defined by hand.
/// A 0.3 component may import it as well.
fn add_outgoing_handler<T: OutgoingView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use p2::bindings::http::outgoing_handler::{Host, OutgoingRequest, RequestOptions};
    use p2::bindings::http::types::{ErrorCode, FutureIncomingResponse, Host as Types};

    type Arguments = (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>);
    type Answer = (Result<Resource<FutureIncomingResponse>, ErrorCode>,);

    linker.instance(OUTGOING_HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, T>,
         (request, options): Arguments|
         -> wasmtime::Result<Answer> {
            let made = store.data_mut().http().table.get_mut(&request)?;
            made.path_with_query
                .get_or_insert_with(|| root().to_string());
            let names = Names::read(&made.headers);
            note_call(store.as_context_mut(), &names, Version::P2)?;
            let lent = options
                .as_ref()
                .map(|options| Resource::new_borrow(options.rep()));
            let mut http = store.data_mut().http();
            let answer = match http.handle(request, lent) {
                Ok(response) => Ok(response),
                Err(error) => Err(Types::convert_error_code(&mut http, error)?),
            };
            // The stock implementation never drops them: a guest that sets a timeout would lose a resource
            // with each request, until none is left.
            if let Some(options) = options {
                http.table.delete(options)?;
            }
            Ok((answer,))
        },
    )
}

/// Returns the path of a request without one: `none` "represents an empty Path and empty Query". The stock
/// implementation refuses it.
fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

/// Takes the attribution of the current outgoing request, whose headers repeat these names, and leaves it
/// for the `send_request` hook.
fn note_call<T: OutgoingView>(
    mut store: StoreContextMut<'_, T>,
    names: &Names,
    version: Version,
) -> wasmtime::Result<()> {
    let attribution = attribution::of_effect(store.as_context_mut(), names);
    let (hooks, egress) = store.data_mut().outgoing()?;
    hooks.next = Some(OutgoingCall {
        attribution,
        egress,
        version,
    });
    Ok(())
}
