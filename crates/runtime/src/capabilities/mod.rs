//! The capabilities of a host, and those that every host has.

mod attribution_scope;
mod outgoing_http;

use std::path::Path;
use std::sync::Arc;

use crate::capability::{Capability, Erased, Grant, GrantError, Grants, Key, Value};

pub use self::attribution_scope::AttributionScope;
pub use self::outgoing_http::{OutgoingGrant, OutgoingHttp};

/// The capabilities of a host: those that guests of its services may import. Cheap to clone.
///
/// The default has outgoing HTTP and the declared scope of attribution, which are always there.
#[derive(Clone)]
pub struct Capabilities(Vec<Arc<dyn Erased>>);

impl Default for Capabilities {
    fn default() -> Self {
        Self(vec![Arc::new(OutgoingHttp), Arc::new(AttributionScope)])
    }
}

impl Capabilities {
    /// These and one more.
    #[must_use]
    pub fn with(mut self, capability: impl Capability) -> Self {
        self.0.push(Arc::new(capability));
        self
    }

    /// The keys by which they are granted.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.0.iter().filter_map(|capability| {
            Some(Key {
                name: capability.key()?,
                about: capability.about(),
                schema: capability.schema(),
                flag: capability.flag(),
            })
        })
    }

    /// What a service has whose settings grant nothing.
    #[must_use]
    pub fn nothing(&self) -> Grants {
        let grants = self.0.iter();
        Grants::new(grants.map(|capability| Grant::of(capability, capability.nothing())))
    }

    /// Reads what a service says under a key, in a file of this folder. None if no capability has the key.
    ///
    /// # Errors
    ///
    /// When that is no grant.
    pub fn read(
        &self,
        key: &str,
        value: &Value,
        folder: &Path,
    ) -> Option<Result<Grant, GrantError>> {
        let capability = self.0.iter().find(|it| it.key() == Some(key))?;
        let granted = capability.read(value, folder);
        Some(granted.map(|granted| Grant::of(capability, granted)))
    }

    /// Reads the values of a flag, likewise.
    ///
    /// # Errors
    ///
    /// When they are no grant.
    pub fn read_flag(&self, long: &str, values: &[String]) -> Option<Result<Grant, GrantError>> {
        let is_it = |it: &&Arc<dyn Erased>| it.flag().is_some_and(|flag| flag.long == long);
        let capability = self.0.iter().find(is_it)?;
        let granted = capability.read_flag(values);
        Some(granted.map(|granted| Grant::of(capability, granted)))
    }
}
