//! What capabilities keep of a service and of an instance.

use std::any::{Any, TypeId};

use super::Capability;
use super::erased::Started;

/// What the capabilities of a service keep while any of its instances lives.
pub(crate) struct ServiceCapabilities(Box<[Box<dyn Started>]>);

/// What they keep of an instance. There are few, so that looking at each is quicker than a hash.
pub(crate) struct InstanceCapabilities(Box<[(TypeId, Box<dyn Any + Send>)]>);

impl ServiceCapabilities {
    pub(super) fn new(started: impl Iterator<Item = Box<dyn Started>>) -> Self {
        Self(started.collect())
    }

    pub(crate) fn instance(&self) -> InstanceCapabilities {
        InstanceCapabilities(self.0.iter().map(|started| started.instance()).collect())
    }
}

impl InstanceCapabilities {
    /// Those of an instance that has none.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn none() -> Self {
        Self(Box::default())
    }

    pub(crate) fn of<C: Capability>(&mut self) -> Option<&mut C::Instance> {
        let id = TypeId::of::<C>();
        let (_, instance) = self.0.iter_mut().find(|(it, _)| *it == id)?;
        instance.downcast_mut()
    }
}
