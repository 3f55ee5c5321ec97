//! The capabilities of a host, and those that every host has.

mod attribution_scope;
mod outgoing_http;

use std::path::Path;
use std::sync::Arc;

use crate::capability::{Capability, Erased, Grant, GrantError, Grants, Key, Value};

pub use self::attribution_scope::AttributionScope;
pub use self::outgoing_http::{OutgoingGrant, OutgoingHttp};

/// The host interfaces that guests of a host's services may import. Cheap to clone.
///
/// The default has outgoing HTTP and the declared scope of attribution. Every host has these two.
#[derive(Clone)]
pub struct Capabilities(Vec<Arc<dyn Erased>>);

impl Default for Capabilities {
    fn default() -> Self {
        Self(vec![Arc::new(OutgoingHttp), Arc::new(AttributionScope)])
    }
}

impl Capabilities {
    /// Adds a capability.
    #[must_use]
    pub fn with(mut self, capability: impl Capability) -> Self {
        self.0.push(Arc::new(capability));
        self
    }

    /// Returns the keys that grant the capabilities.
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

    /// Returns the grants of a service whose settings grant nothing.
    #[must_use]
    pub fn nothing(&self) -> Grants {
        let grants = self.0.iter();
        Grants::new(grants.map(|capability| Grant::of(capability, capability.nothing())))
    }

    /// Reads the value that a service's settings have under a key. Relative paths start at `folder`.
    /// Returns `None` if no capability has the key.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a valid grant.
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

    /// Reads the values of a flag. Returns `None` if no capability has the flag.
    ///
    /// # Errors
    ///
    /// Returns an error if the values are not a valid grant.
    pub fn read_flag(&self, long: &str, values: &[String]) -> Option<Result<Grant, GrantError>> {
        let is_it = |it: &&Arc<dyn Erased>| it.flag().is_some_and(|flag| flag.long == long);
        let capability = self.0.iter().find(is_it)?;
        let granted = capability.read_flag(values);
        Some(granted.map(|granted| Grant::of(capability, granted)))
    }
}
