//! Host interfaces, each behind one type.
//!
//! A [`Capability`] says which interfaces it satisfies, how a service's grant for it is read and explained,
//! how it is linked, and what it keeps of each service and of each instance. It goes through three stages:
//!
//! 1. a *grant* is what the settings of a service say, and is compared at a reload;
//! 2. the capability's *service* is made of the grant when the service is loaded, and dropped when the last
//!    of the service's instances has ended: connections and threads of a store stop there;
//! 3. its *instance* is made for each instance of the guest, and dropped with it.
//!
//! A capability is registered with the [`Capabilities`](crate::Capabilities) of a host. No other part of the host knows of it.
//!
//! # Example
//!
//! An interface by which a guest asks how many requests are left to it:
//!
//! ```
//! use std::path::Path;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::sync::Arc;
//!
//! use headwater_runtime::capability::{self, Capability, Explained, GrantError, Value};
//! use headwater_runtime::{Capabilities, GuestState};
//! use wasmtime::StoreContextMut;
//! use wasmtime::component::Linker;
//!
//! struct Quota;
//!
//! impl Capability for Quota {
//!     type Grant = u64;
//!     type Service = AtomicU64;
//!     type Instance = Arc<AtomicU64>;
//!
//!     fn interfaces(&self) -> &'static [&'static str] {
//!         &["acme:quota/left@1.0.0"]
//!     }
//!
//!     fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
//!         linker.instance("acme:quota/left@1.0.0")?.func_wrap(
//!             "take",
//!             |mut store: StoreContextMut<'_, GuestState>, (): ()| {
//!                 // Whose call this is, before anything else is done.
//!                 let call = capability::call(&mut store, "acme:quota/left", "take");
//!                 let left = store.data_mut().capability::<Quota>()?;
//!                 let take = |left: u64| left.checked_sub(1);
//!                 let left = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
//!                 Ok((call.end(left.map_err(|_| "nothing is left".to_owned())),))
//!             },
//!         )
//!     }
//!
//!     fn key(&self) -> Option<&'static str> {
//!         Some("quota")
//!     }
//!
//!     fn read(&self, value: &Value, _folder: &Path) -> Result<u64, GrantError> {
//!         value.as_u64().ok_or_else(|| GrantError::new("expected a whole number"))
//!     }
//!
//!     fn explain(&self, grant: &u64) -> Vec<Explained> {
//!         vec![Explained::list("quota", [grant])]
//!     }
//!
//!     fn start(&self, grant: &u64, _: &capability::ServiceContext) -> AtomicU64 {
//!         AtomicU64::new(*grant)
//!     }
//!
//!     fn instance(&self, service: &Arc<AtomicU64>) -> Arc<AtomicU64> {
//!         service.clone()
//!     }
//! }
//!
//! let capabilities = Capabilities::default().with(Quota);
//! ```

mod call;
mod erased;
mod explained;
mod grant_error;
mod grants;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::Attribution;
use headwater_telemetry::Metrics;
use wasmtime::component::Linker;
use wasmtime::{AsContextMut, StoreContextMut};

use crate::attribution::{self, Names};
use crate::guest_state::GuestState;

pub use self::call::{Call, call, count};
pub(crate) use self::erased::{Erased, ServiceCapabilities};
pub use self::explained::Explained;
pub use self::grant_error::GrantError;
pub use self::grants::{Grant, Grants};

/// What a file says under a capability's key.
pub type Value = serde_json::Value;

/// A host interface, or several that belong together. See the [module](self).
pub trait Capability: Send + Sync + 'static {
    /// What a service is granted. The default is granted to those whose settings do not have the key: nothing,
    /// as a rule. A guest may import the interfaces all the same, and meets the interface's own error.
    type Grant: Clone + Default + PartialEq + Send + Sync + 'static;

    /// What is kept of a service while any of its instances lives.
    type Service: Send + Sync + 'static;

    /// What is kept of an instance. Nothing of it is ever seen by another.
    type Instance: Send + 'static;

    /// The interfaces that it satisfies, with their versions: `wasi:config/store@0.2.0-rc.1`.
    fn interfaces(&self) -> &'static [&'static str];

    /// Defines the functions of the interfaces.
    ///
    /// # Errors
    ///
    /// When a name is defined already.
    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// The key of a `[[service]]` by which it is granted. Default: none; then all services have the default
    /// grant.
    fn key(&self) -> Option<&'static str> {
        None
    }

    /// What the key means, in a sentence, for the reference and the schema. Default: nothing.
    fn about(&self) -> &'static str {
        ""
    }

    /// The JSON schema of the key's value. Default: any value.
    fn schema(&self) -> Value {
        Value::Bool(true)
    }

    /// The flag of `headwater serve` by which it is granted. Default: none.
    fn flag(&self) -> Option<Flag> {
        None
    }

    /// Reads the value of the key, in a file of this folder: relative paths are from there.
    ///
    /// # Errors
    ///
    /// When it is no grant, with the place in the value. The default accepts nothing.
    fn read(&self, value: &Value, folder: &Path) -> Result<Self::Grant, GrantError> {
        let _ = (value, folder);
        Err(GrantError::new("it cannot be granted by a key"))
    }

    /// Reads the values of the flag, of which there is at least one.
    ///
    /// # Errors
    ///
    /// When one is no grant. The default accepts nothing.
    fn read_flag(&self, values: &[String]) -> Result<Self::Grant, GrantError> {
        let _ = values;
        Err(GrantError::new("it cannot be granted by a flag"))
    }

    /// What is granted, for the banner, `headwater check` and the admin listener; secrets are left out.
    /// Default: nothing is shown.
    fn explain(&self, grant: &Self::Grant) -> Vec<Explained> {
        let _ = grant;
        Vec::new()
    }

    /// Files that the grant was read from, which are watched for changes. Default: none.
    fn files(&self, grant: &Self::Grant) -> Vec<PathBuf> {
        let _ = grant;
        Vec::new()
    }

    /// Begins to serve a service that has this grant.
    fn start(&self, grant: &Self::Grant, service: &ServiceContext) -> Self::Service;

    /// What a new instance of the service has.
    fn instance(&self, service: &Arc<Self::Service>) -> Self::Instance;
}

/// A flag of `headwater serve`, which may be given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without the dashes.
    pub long: &'static str,
    /// What stands for its value in the help.
    pub value_name: &'static str,
    /// Its help.
    pub help: &'static str,
}

/// A key that capabilities add to a `[[service]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// The JSON schema of its value.
    pub schema: Value,
    /// The flag that stands for it.
    pub flag: Option<Flag>,
}

/// The service that a capability is started for.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    /// The service's name.
    pub service: Arc<str>,
    /// What is measured with.
    pub metrics: Metrics,
}

/// The request that a guest's call of an interface is made for, by the verdict that outgoing requests have.
///
/// Right only when called synchronously in an import function, before the first await: while the guest that
/// called is on the stack. An import that waits takes it first and carries it along. It is counted when it is
/// not exact.
pub fn attribution(store: &mut StoreContextMut<'_, GuestState>) -> Attribution {
    attribution::of_effect(store.as_context_mut(), &Names::default())
}

impl GuestState {
    /// What a capability keeps of this instance.
    ///
    /// # Errors
    ///
    /// When the service does not have the capability: an import function of it was linked by something else.
    pub fn capability<C: Capability>(&mut self) -> wasmtime::Result<&mut C::Instance> {
        self.capabilities.of::<C, C::Instance>().ok_or_else(|| {
            let name = std::any::type_name::<C>();
            wasmtime::format_err!("the service does not have the capability {name}")
        })
    }
}

#[cfg(test)]
mod tests;
