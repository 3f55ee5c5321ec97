use std::sync::Arc;

use headwater_egress::{Egress, EgressParams};
use wasmtime::component::Linker;

use crate::capability::{Capability, Explained, ServiceContext};
use crate::guest_state::GuestState;
use crate::outgoing_http::{self, Hooks, OutgoingView};

/// Outgoing HTTP requests: `wasi:http/client@0.3` and `wasi:http/outgoing-handler@0.2`. The service's egress
/// decides which destinations a guest reaches.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingHttp;

/// The egress that a service's outgoing requests leave by. The default lets none through.
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
        &[outgoing_http::CLIENT, outgoing_http::OUTGOING_HANDLER]
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        outgoing_http::add_to_linker(linker)
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

impl OutgoingView for GuestState {
    fn outgoing(&mut self) -> wasmtime::Result<(&mut Hooks, Egress)> {
        let egress = self.capability::<OutgoingHttp>()?.clone();
        Ok((&mut self.hooks, egress))
    }
}
