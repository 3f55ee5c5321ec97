//! The grants of one service.

use std::any::TypeId;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Linker;

use super::erased::{Erased, Granted, ServiceCapabilities};
use super::{Capability, Explained, ServiceContext};
use crate::guest_state::GuestState;

/// The grants of one service, one for each capability of its host. Equal if their grants are equal.
#[derive(Clone, PartialEq)]
pub struct Grants(Vec<Grant>);

/// The grant of one capability to one service.
#[derive(Clone)]
pub struct Grant {
    capability: Arc<dyn Erased>,
    granted: Granted,
}

// === impl Grants ===

impl Grants {
    pub(crate) fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        Self(grants.into_iter().collect())
    }

    /// Replaces the grant of the same capability. If the host does not have the capability, adds it for
    /// this service.
    pub fn set(&mut self, grant: Grant) {
        let id = grant.capability.id();
        match self.0.iter_mut().find(|it| it.capability.id() == id) {
            Some(it) => *it = grant,
            None => self.0.push(grant),
        }
    }

    /// Returns an iterator over the grants.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Returns the grant of a capability. `None` if neither the host nor the service has it.
    #[must_use]
    pub fn of<C: Capability>(&self) -> Option<&C::Grant> {
        let id = TypeId::of::<C>();
        let grant = self.0.iter().find(|it| it.capability.id() == id)?;
        grant.granted.downcast_ref()
    }

    /// Returns the description of all grants.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.0.iter().flat_map(Grant::explain).collect()
    }

    /// Returns the files that the grants were read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.iter().flat_map(Grant::files).collect()
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(Grant::interfaces).copied()
    }

    pub(crate) fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let mut grants = self.0.iter();
        grants.try_for_each(|grant| grant.capability.link(linker))
    }

    pub(crate) fn start(&self, service: &ServiceContext) -> ServiceCapabilities {
        let grants = self.0.iter();
        let started = grants.map(|grant| grant.capability.clone().start(&grant.granted, service));
        ServiceCapabilities(started.collect())
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

// === impl Grant ===

impl Grant {
    /// Returns a grant for an embedder that reads no settings.
    #[must_use]
    pub fn new<C: Capability>(capability: C, grant: C::Grant) -> Self {
        Self {
            capability: Arc::new(capability),
            granted: Arc::new(grant),
        }
    }

    pub(crate) fn of(capability: &Arc<dyn Erased>, granted: Granted) -> Self {
        Self {
            capability: capability.clone(),
            granted,
        }
    }

    /// Returns the key that grants the capability.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        self.capability.key()
    }

    /// Returns true if the capability may be granted to a WAGI module.
    #[must_use]
    pub fn is_for_modules(&self) -> bool {
        self.capability.is_for_modules()
    }

    /// Returns the interfaces that the capability satisfies.
    #[must_use]
    pub fn interfaces(&self) -> &'static [&'static str] {
        self.capability.interfaces()
    }

    /// Returns the description of the grant.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.capability.explain(&self.granted)
    }

    /// Returns the files that the grant was read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.capability.files(&self.granted)
    }
}

impl PartialEq for Grant {
    fn eq(&self, other: &Self) -> bool {
        self.capability.id() == other.capability.id()
            && self.capability.is_same(&self.granted, &other.granted)
    }
}

/// Leaves the values out: they may be secret.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("interfaces", &self.interfaces())
            .finish_non_exhaustive()
    }
}
