//! Offers a host interface of your own: `cargo run --example own_capability -- GUEST.wasm`.
//!
//! It is `wasi:config/store`, in place of Headwater's: each value is made when the guest asks for
//! it. The guest `components/configured` imports it; at `/visits` it answers the number of requests
//! to its service.

#![allow(
    clippy::print_stdout,
    reason = "it prints its address and the requests"
)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater::capability::{self, Capability, ServiceContext};
use headwater::{Capabilities, GuestState, Host, Service};
use tokio_util::sync::CancellationToken;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

const INTERFACES: [&str; 2] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft-2024-09-27",
];

/// Counts the requests of each service.
struct Visits;

/// The interface's own error.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StoreError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Value = Result<Option<String>, StoreError>;
type Pairs = Result<Vec<(String, String)>, StoreError>;

impl Capability for Visits {
    /// The number at which a service begins to count.
    type Grant = u64;
    type Service = AtomicU64;
    type Instance = Arc<AtomicU64>;

    fn interfaces(&self) -> &'static [&'static str] {
        &INTERFACES
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        for interface in INTERFACES {
            let mut store = linker.instance(interface)?;
            store.func_wrap("get", get)?;
            store.func_wrap("get-all", |_: StoreContextMut<'_, GuestState>, (): ()| {
                Ok((Pairs::Ok(Vec::new()),))
            })?;
        }
        Ok(())
    }

    fn start(&self, first: &u64, _: &ServiceContext) -> AtomicU64 {
        AtomicU64::new(*first)
    }

    fn instance(&self, service: &Arc<AtomicU64>) -> Arc<AtomicU64> {
        Arc::clone(service)
    }
}

fn get(
    mut store: StoreContextMut<'_, GuestState>,
    (name,): (String,),
) -> wasmtime::Result<(Value,)> {
    // The request that this call is made for, with the same verdict as for outgoing requests. The
    // call has a span under that request's span, and is counted.
    let call = capability::call(&mut store, "wasi:config/store", "get");
    let request = call.attribution().scope();
    let request = request.map(|scope| scope.id().to_string());
    println!("asked for {name} by {request:?}");
    let visits = store.data_mut().capability::<Visits>()?;
    // The guest asks through both versions of the interface.
    let number = visits.fetch_add(1, Ordering::Relaxed) / 2;
    Ok((call.end(Ok(Some(number.to_string()))),))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args_os()
        .nth(1)
        .ok_or("name a guest: own_capability GUEST.wasm")?;
    let host = Host::builder()
        .capabilities(Capabilities::default().with(Visits))
        .service(Service::file("visited", guest)?.grant(Visits, 200))
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    for address in host.addresses() {
        println!("Listening on {address}");
    }
    host.run(CancellationToken::new()).await;
    Ok(())
}
