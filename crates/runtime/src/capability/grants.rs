//! What one service is granted of each capability.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Linker;

use super::erased::{Erased, Granted, ServiceCapabilities};
use super::{Capability, Explained, ServiceContext};
use crate::guest_state::GuestState;

/// What one service is granted, of each capability of its host. Two are the same if their grants are.
#[derive(Clone, PartialEq)]
pub struct Grants(Vec<Grant>);

/// What one service is granted of one capability.
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

    /// Puts a grant in the place of that of the same capability. One of a capability that the host does not
    /// have adds the capability, for this service.
    pub fn set(&mut self, grant: Grant) {
        let id = grant.capability.id();
        match self.0.iter_mut().find(|it| it.capability.id() == id) {
            Some(it) => *it = grant,
            None => self.0.push(grant),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// What is granted, as it is shown.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.0.iter().flat_map(Grant::explain).collect()
    }

    /// Files that they were read from.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.iter().flat_map(Grant::files).collect()
    }

    /// The interfaces that they satisfy.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(Grant::interfaces).copied()
    }

    /// Defines the functions of all of them.
    pub(crate) fn link(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let mut grants = self.0.iter();
        grants.try_for_each(|grant| grant.capability.link(linker))
    }

    /// Begins to serve a service.
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
    /// A grant for an embedder who has no settings to read it from.
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

    /// The key that it is granted by.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        self.capability.key()
    }

    /// The interfaces that it satisfies.
    #[must_use]
    pub fn interfaces(&self) -> &'static [&'static str] {
        self.capability.interfaces()
    }

    /// What is granted, as it is shown.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.capability.explain(&self.granted)
    }

    /// Files that it was read from.
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

/// Without values, which may be secret.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("interfaces", &self.interfaces())
            .finish_non_exhaustive()
    }
}
