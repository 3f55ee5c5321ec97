//! `headwater:attribution/scope`, by which guests declare the request that they work for.

use std::sync::Arc;

use headwater_core::ScopeKey;
use wasmtime::component::{GuestTaskId, Linker, Resource, ResourceType};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::attribution::{self, Entered};
use crate::capability::{Capability, ServiceContext};
use crate::guest_state::GuestState;

/// The interface's name; its text is in `wit/headwater-attribution`.
const SCOPE: &str = "headwater:attribution/scope@0.1.0";

/// A `token`: names a request of the instance whose store it is in.
struct Token(ScopeKey);

/// The declared scope: `headwater:attribution/scope`. It grants nothing, so every guest may import it.
#[derive(Debug, Clone, Copy)]
pub struct AttributionScope;

impl Capability for AttributionScope {
    type Grant = ();
    /// Declarations are part of attribution's data of an instance, so there is no state here.
    type Service = ();
    type Instance = ();

    fn interfaces(&self) -> &'static [&'static str] {
        &[SCOPE]
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let mut scope = linker.instance(SCOPE)?;
        scope.resource("token", ResourceType::host::<Token>(), |mut store, rep| {
            let token = Resource::<Token>::new_own(rep);
            store.data_mut().table.delete(token)?;
            Ok(())
        })?;
        scope.resource(
            "entered",
            ResourceType::host::<Entered<GuestTaskId>>(),
            |mut store, rep| {
                let entered = Resource::<Entered<GuestTaskId>>::new_own(rep);
                let state = store.data_mut();
                let entered = state.table.delete(entered)?;
                state.roots.leave(entered);
                Ok(())
            },
        )?;
        scope.func_wrap("current", |store, (): ()| Ok((take(store)?,)))?;
        scope.func_wrap("[method]token.enter", |store, (token,)| {
            Ok((enter(store, &token)?,))
        })?;
        scope.func_wrap("[method]token.is-live", |store, (token,)| {
            Ok((is_live(store, &token)?,))
        })?;
        Ok(())
    }

    fn start(&self, (): &(), _service: &ServiceContext) {}

    fn instance(&self, _service: &Arc<()>) {}
}

fn take(mut store: StoreContextMut<'_, GuestState>) -> wasmtime::Result<Option<Resource<Token>>> {
    let attribution = attribution::current(store.as_context_mut());
    // Also if the task's request is in doubt: a handler asks first of all, when it works for its own
    // request, whatever others in its instance do.
    let Some(scope) = attribution.running() else {
        return Ok(None);
    };
    let token = Token(scope.key());
    Ok(Some(store.data_mut().table.push(token)?))
}

fn enter(
    mut store: StoreContextMut<'_, GuestState>,
    token: &Resource<Token>,
) -> wasmtime::Result<Resource<Entered<GuestTaskId>>> {
    let request = store.data().table.get(token)?.0;
    let entered = attribution::enter(store.as_context_mut(), request);
    Ok(store.data_mut().table.push(entered)?)
}

fn is_live(
    store: StoreContextMut<'_, GuestState>,
    token: &Resource<Token>,
) -> wasmtime::Result<bool> {
    let request = store.data().table.get(token)?.0;
    Ok(attribution::is_live(store, request))
}
