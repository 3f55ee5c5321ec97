//! Host interfaces, each behind one type.
//!
//! A [`Capability`] names the interfaces that it satisfies, reads and explains a service's grant, links the functions,
//! and keeps state for each service and each instance. It has three stages:
//!
//! 1. a *grant* holds the service's settings and is compared at a reload;
//! 2. the capability's *service* is made from the grant when the service is loaded, and dropped after the last of the
//!    service's instances has ended. Connections and threads of a store stop there;
//! 3. its *instance* is made for each instance of the guest, and dropped with it.
//!
//! A capability is registered with the host's [`Capabilities`](crate::Capabilities). No other part of the host knows
//! it.
//!
//! # Example
//!
//! An interface that tells a guest how many requests it has left:
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
//!                 // Attribute the call before anything else is done.
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

/// The value of a capability's key in a file.
pub type Value = serde_json::Value;

/// A host interface, or several related ones. See the [module](self).
pub trait Capability: Send + Sync + 'static {
    /// The grant of a service. Services whose settings do not have the key get the default, which usually grants
    /// nothing. Their guests may still import the interfaces, and get the interface's own error.
    type Grant: Clone + Default + PartialEq + Send + Sync + 'static;

    /// The state kept for a service while any of its instances lives.
    type Service: Send + Sync + 'static;

    /// The state kept for an instance. No other instance ever sees it.
    type Instance: Send + 'static;

    /// Returns the interfaces that it satisfies, with their versions: `wasi:config/store@0.2.0-rc.1`.
    fn interfaces(&self) -> &'static [&'static str];

    /// Defines the functions of the interfaces.
    ///
    /// # Errors
    ///
    /// Returns an error if a name is defined already.
    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;

    /// Returns the key of a `[[service]]` that grants the capability. Default: none; all services have the default
    /// grant.
    fn key(&self) -> Option<&'static str> {
        None
    }

    /// Returns true if the key may be granted to a WAGI module, which gets what it grants by other means than
    /// imports. Default: false.
    fn is_for_modules(&self) -> bool {
        false
    }

    /// Describes the key in a sentence, for the reference and the schema. Default: empty.
    fn about(&self) -> &'static str {
        ""
    }

    /// Returns the JSON schema of the key's value. Default: any value.
    fn schema(&self) -> Value {
        Value::Bool(true)
    }

    /// Returns the flag of `headwater serve` that grants the capability. Default: none.
    fn flag(&self) -> Option<Flag> {
        None
    }

    /// Reads the value of the key. Relative paths start at `folder`, the folder of the configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error, with the path in the value, if the value is not a valid grant. The default accepts nothing.
    fn read(&self, value: &Value, folder: &Path) -> Result<Self::Grant, GrantError> {
        let _ = (value, folder);
        Err(GrantError::new("it cannot be granted by a key"))
    }

    /// Reads the values of the flag. There is at least one.
    ///
    /// # Errors
    ///
    /// Returns an error if a value is not a valid grant. The default accepts nothing.
    fn read_flag(&self, values: &[String]) -> Result<Self::Grant, GrantError> {
        let _ = values;
        Err(GrantError::new("it cannot be granted by a flag"))
    }

    /// Describes the grant, without secrets, for the banner, `headwater check` and the admin listener. Default: empty.
    fn explain(&self, grant: &Self::Grant) -> Vec<Explained> {
        let _ = grant;
        Vec::new()
    }

    /// Returns the files that the grant was read from. They are watched for changes. Default: none.
    fn files(&self, grant: &Self::Grant) -> Vec<PathBuf> {
        let _ = grant;
        Vec::new()
    }

    /// Starts the capability for a service with this grant.
    fn start(&self, grant: &Self::Grant, service: &ServiceContext) -> Self::Service;

    /// Returns the state of a new instance of the service.
    fn instance(&self, service: &Arc<Self::Service>) -> Self::Instance;
}

/// A flag of `headwater serve`. It may be given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// The name, without the dashes.
    pub long: &'static str,
    /// The placeholder of the value in the help.
    pub value_name: &'static str,
    /// The help text.
    pub help: &'static str,
}

/// A key that a capability adds to a `[[service]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The name.
    pub name: &'static str,
    /// The description.
    pub about: &'static str,
    /// The JSON schema of the value.
    pub schema: Value,
    /// The equivalent flag.
    pub flag: Option<Flag>,
}

/// The service that a capability is started for.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    /// The service's name.
    pub service: Arc<str>,
    /// The metrics to record to.
    pub metrics: Metrics,
}

/// Returns the request that a guest's call of an interface is made for, with the same verdict as for outgoing requests.
///
/// Correct only if called synchronously in an import function, before the first await, while the calling guest is on
/// the stack. An import that waits calls this first and keeps the result. Verdicts that are not exact are counted.
pub fn attribution(store: &mut StoreContextMut<'_, GuestState>) -> Attribution {
    attribution::of_effect(store.as_context_mut(), &Names::default())
}

impl GuestState {
    /// Returns the state that a capability keeps for this instance.
    ///
    /// # Errors
    ///
    /// Returns an error if the service does not have the capability, because something else linked its import function.
    pub fn capability<C: Capability>(&mut self) -> wasmtime::Result<&mut C::Instance> {
        self.capabilities.of::<C, C::Instance>().ok_or_else(|| {
            let name = std::any::type_name::<C>();
            wasmtime::format_err!("the service does not have the capability {name}")
        })
    }
}

#[cfg(test)]
mod tests;
