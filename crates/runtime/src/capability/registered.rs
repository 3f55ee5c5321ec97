//! The capabilities of a host.

use std::path::Path;
use std::sync::Arc;

use super::erased::Erased;
use super::grants::{Grant, Grants};
use super::{Capability, Flag, GrantError, Value};
use crate::attribution::AttributionScope;
use crate::outgoing_http::OutgoingHttp;

/// The capabilities of a host: those that guests of its services may import. Cheap to clone.
///
/// The default has outgoing HTTP and the declared scope of attribution, which are always there.
#[derive(Clone)]
pub struct Capabilities(Vec<Arc<dyn Erased>>);

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
        Grants::new(self.0.iter().map(|capability| Grant {
            granted: capability.nothing(),
            capability: capability.clone(),
        }))
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
        Some(capability.read(value, folder).map(|granted| Grant {
            granted,
            capability: capability.clone(),
        }))
    }

    /// Reads the values of a flag, likewise.
    ///
    /// # Errors
    ///
    /// When they are no grant.
    pub fn read_flag(&self, long: &str, values: &[String]) -> Option<Result<Grant, GrantError>> {
        let is_it = |it: &&Arc<dyn Erased>| it.flag().is_some_and(|flag| flag.long == long);
        let capability = self.0.iter().find(is_it)?;
        Some(capability.read_flag(values).map(|granted| Grant {
            granted,
            capability: capability.clone(),
        }))
    }
}
