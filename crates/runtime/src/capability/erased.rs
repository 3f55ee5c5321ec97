//! Type-erased capabilities, as the host keeps them.

use std::any::{Any, TypeId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::Linker;

use super::{Capability, Explained, Flag, GrantError, ServiceContext, Value};
use crate::guest_state::{GuestState, InstanceCapabilities};

pub(crate) trait Erased: Send + Sync {
    fn id(&self) -> TypeId;
    fn interfaces(&self) -> &'static [&'static str];
    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()>;
    fn key(&self) -> Option<&'static str>;
    fn is_for_modules(&self) -> bool;
    fn about(&self) -> &'static str;
    fn schema(&self) -> Value;
    fn flag(&self) -> Option<Flag>;
    fn nothing(&self) -> Granted;
    fn read(&self, value: &Value, folder: &Path) -> Result<Granted, GrantError>;
    fn read_flag(&self, values: &[String]) -> Result<Granted, GrantError>;
    fn explain(&self, grant: &Granted) -> Vec<Explained>;
    fn files(&self, grant: &Granted) -> Vec<PathBuf>;
    fn is_same(&self, one: &Granted, other: &Granted) -> bool;
    fn start(self: Arc<Self>, grant: &Granted, service: &ServiceContext) -> Box<dyn Started>;
}

/// A grant. Only its capability knows the type.
pub(crate) type Granted = Arc<dyn Any + Send + Sync>;

/// The type-erased service of a capability.
pub(crate) trait Started: Send + Sync {
    /// Returns a new instance, with the type of its capability.
    fn instance(&self) -> (TypeId, Box<dyn Any + Send>);
}

/// The state that capabilities keep for a service while any of its instances lives.
pub(crate) struct ServiceCapabilities(pub(super) Box<[Box<dyn Started>]>);

impl ServiceCapabilities {
    pub(crate) fn instance(&self) -> InstanceCapabilities {
        InstanceCapabilities(self.0.iter().map(|started| started.instance()).collect())
    }
}

struct StartedFor<C: Capability> {
    capability: Arc<C>,
    service: Arc<C::Service>,
}

impl<C: Capability> Started for StartedFor<C> {
    fn instance(&self) -> (TypeId, Box<dyn Any + Send>) {
        let instance = self.capability.instance(&self.service);
        (TypeId::of::<C>(), Box::new(instance))
    }
}

/// Returns a grant of `C`. The capability that gets the grant also made it, so the type is always
/// right.
fn of<C: Capability>(grant: &Granted) -> C::Grant {
    grant
        .downcast_ref::<C::Grant>()
        .cloned()
        .unwrap_or_default()
}

/// Forwards methods to a capability of any type.
macro_rules! forward {
    ($name:ident -> $said:ty) => {
        fn $name(&self) -> $said {
            Capability::$name(self)
        }
    };
}

impl<C: Capability> Erased for C {
    fn id(&self) -> TypeId {
        TypeId::of::<C>()
    }

    fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        Capability::link(self, linker)
    }

    forward!(interfaces -> &'static [&'static str]);
    forward!(key -> Option<&'static str>);
    forward!(is_for_modules -> bool);
    forward!(about -> &'static str);
    forward!(schema -> Value);
    forward!(flag -> Option<Flag>);

    fn nothing(&self) -> Granted {
        Arc::new(C::Grant::default())
    }

    fn read(&self, value: &Value, folder: &Path) -> Result<Granted, GrantError> {
        Ok(Arc::new(Capability::read(self, value, folder)?))
    }

    fn read_flag(&self, values: &[String]) -> Result<Granted, GrantError> {
        Ok(Arc::new(Capability::read_flag(self, values)?))
    }

    fn explain(&self, grant: &Granted) -> Vec<Explained> {
        Capability::explain(self, &of::<C>(grant))
    }

    fn files(&self, grant: &Granted) -> Vec<PathBuf> {
        Capability::files(self, &of::<C>(grant))
    }

    fn is_same(&self, one: &Granted, other: &Granted) -> bool {
        of::<C>(one) == of::<C>(other)
    }

    fn start(self: Arc<Self>, grant: &Granted, service: &ServiceContext) -> Box<dyn Started> {
        let started = Capability::start(&*self, &of::<C>(grant), service);
        Box::new(StartedFor {
            capability: self,
            service: Arc::new(started),
        })
    }
}
