//! The kinds of guests that instances hold.

use wasmtime::Store;
use wasmtime::component::Func;
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};

use crate::action::{ActionGuest, ActionPre};
use crate::guest_state::GuestState;

/// A linked component, ready to be instantiated.
pub(crate) enum GuestPre {
    /// An HTTP handler, of 0.3 or 0.2.
    Http(ProxyPre<GuestState>),
    Action(ActionPre),
}

/// An instance of a component.
pub(crate) enum Guest {
    Http(Proxy),
    Action(ActionGuest),
}

// === impl GuestPre ===

impl GuestPre {
    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<Guest> {
        match self {
            Self::Http(pre) => pre.instantiate_async(store).await.map(Guest::Http),
            Self::Action(pre) => pre.instantiate(store).await.map(Guest::Action),
        }
    }
}

// === impl Guest ===

impl Guest {
    /// Returns the function that requests call. Its instance's backpressure is checked there.
    pub(crate) fn entrance(&self) -> Func {
        match self {
            Self::Http(Proxy::P3(guest)) => *guest.wasi_http_handler().func_handle().func(),
            Self::Http(Proxy::P2(guest)) => {
                *guest.wasi_http_incoming_handler().func_handle().func()
            }
            Self::Action(guest) => guest.entrance(),
        }
    }
}
