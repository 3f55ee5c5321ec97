//! Outgoing HTTP: the two interfaces by which a guest makes requests. Each takes the attribution of the call
//! first.

mod hooks;
mod outgoing;
mod request_body;
mod unfinished;

use std::sync::Arc;

use headwater_core::fields::declared_length;
use headwater_egress::{Egress, EgressParams};
use http::uri::PathAndQuery;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView, p2, p3};

use crate::attribution::{self, Names};
use crate::capability::{Capability, Explained, ServiceContext};
use crate::guest_state::GuestState;

use self::hooks::OutgoingCall;

pub(crate) use self::hooks::Hooks;
pub(crate) use self::outgoing::Outgoing;

/// The 0.3 interface, in the version of wasmtime-wasi-http 48; 0.3.x versions link to each other.
const CLIENT: &str = "wasi:http/client@0.3.0";

/// Likewise that of 0.2.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Outgoing HTTP requests: `wasi:http/client@0.3` and `wasi:http/outgoing-handler@0.2`. A guest reaches what
/// its egress lets through.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingHttp;

/// The egress by which a service's outgoing requests leave. The default lets none through.
#[derive(Clone, Default)]
pub struct OutgoingGrant(Option<Egress>);

impl From<Egress> for OutgoingGrant {
    fn from(egress: Egress) -> Self {
        Self(Some(egress))
    }
}

impl PartialEq for OutgoingGrant {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(this), Some(that)) => this.is(that),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Capability for OutgoingHttp {
    type Grant = OutgoingGrant;
    type Service = Egress;
    type Instance = Egress;

    fn interfaces(&self) -> &'static [&'static str] {
        &[CLIENT, OUTGOING_HANDLER]
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        p3::bindings::http::client::add_to_linker::<GuestState, AttributedClient>(
            linker,
            GuestState::http,
        )?;
        add_outgoing_handler(linker)
    }

    fn explain(&self, grant: &OutgoingGrant) -> Vec<Explained> {
        let Some(egress) = &grant.0 else {
            return Vec::new();
        };
        let grants = egress.grants();
        let mut lines = vec![Explained::list("may call", grants.iter())];
        if grants.is_every_address() {
            lines.push(Explained::Warning(
                "this guest may call any address, this machine's own included".to_owned(),
            ));
        } else if grants.is_all() {
            lines.push(Explained::Warning(
                "this guest may call any public address on the internet".to_owned(),
            ));
        }
        lines.extend(egress.unverified().iter().map(|hosts| {
            Explained::Warning(format!(
                "anybody may pretend to be {hosts}: its certificate is not verified"
            ))
        }));
        lines
    }

    fn start(&self, grant: &OutgoingGrant, service: &ServiceContext) -> Egress {
        let nothing = || Egress::new(EgressParams::new(service.service.clone()));
        grant.0.clone().unwrap_or_else(nothing)
    }

    fn instance(&self, egress: &Arc<Egress>) -> Egress {
        Egress::clone(egress)
    }
}

/// `wasi:http/client@0.3`, attributed.
struct AttributedClient;

impl HasData for AttributedClient {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl p3::bindings::http::client::HostWithStore<GuestState> for AttributedClient {
    async fn send(
        accessor: &Accessor<GuestState, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<p3::bindings::http::types::ErrorCode>> {
        // In the future's first poll, which happens within the guest's call: the only time when
        // the call stack is the caller's. The stock implementation calls the `send_request` hook
        // in the same poll, before it awaits anything; the hook takes the attribution from here.
        accessor
            .with(|mut access| {
                let mut store = access.as_context_mut();
                // A request that is not there is the stock implementation's to report.
                let named = store.data_mut().table.get_mut(&request);
                let names = named.map_or_else(
                    |_| Names::default(),
                    |request| {
                        request.path_with_query.get_or_insert_with(root);
                        Names::read(&request.headers)
                    },
                );
                note_call(store.as_context_mut(), &names)
            })
            .map_err(TrappableError::trap)?;
        <WasiHttp as p3::bindings::http::client::HostWithStore<GuestState>>::send(
            &accessor.with_getter::<WasiHttp>(GuestState::http),
            request,
        )
        .await
    }
}

/// `wasi:http/outgoing-handler@0.2`, attributed.
///
/// The stock binding's host trait has no store, hence no call stack; so the one function is defined
/// here by hand. A 0.3 component may import it as well.
fn add_outgoing_handler(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p2::bindings::http::outgoing_handler::{Host, OutgoingRequest, RequestOptions};
    use p2::bindings::http::types::{ErrorCode, FutureIncomingResponse, Host as Types};

    type Arguments = (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>);
    type Answer = (Result<Resource<FutureIncomingResponse>, ErrorCode>,);

    linker.instance(OUTGOING_HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>,
         (request, options): Arguments|
         -> wasmtime::Result<Answer> {
            let made = store.data_mut().table.get_mut(&request)?;
            made.path_with_query
                .get_or_insert_with(|| root().to_string());
            let declared = declared_length(&made.headers);
            made.body = made
                .body
                .take()
                .map(|body| unfinished::named(body, declared));
            let names = Names::read(&made.headers);
            note_call(store.as_context_mut(), &names)?;
            let lent = options
                .as_ref()
                .map(|options| Resource::new_borrow(options.rep()));
            let mut http = store.data_mut().http();
            let answer = match http.handle(request, lent) {
                Ok(response) => Ok(response),
                Err(error) => Err(Types::convert_error_code(&mut http, error)?),
            };
            // The stock implementation keeps them for ever: a guest that sets a timeout would have a
            // resource less with each request, until it has none left.
            if let Some(options) = options {
                http.table.delete(options)?;
            }
            Ok((answer,))
        },
    )
}

/// What a request without a path asks for: `none` "represents an empty Path and empty Query". The stock
/// implementation refuses it.
fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

/// Takes the attribution of the outgoing request that is being made, whose headers repeat these
/// names, and leaves it for the `send_request` hook.
fn note_call(mut store: StoreContextMut<'_, GuestState>, names: &Names) -> wasmtime::Result<()> {
    let attribution = attribution::of_outgoing(store.as_context_mut(), names);
    let state = store.data_mut();
    state.unattributed.note(&attribution);
    state.hooks.next = Some(OutgoingCall {
        attribution,
        egress: state.capability::<OutgoingHttp>()?.clone(),
        outgoing: state.outgoing.clone(),
    });
    Ok(())
}
