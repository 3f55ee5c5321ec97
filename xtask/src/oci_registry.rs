//! The registry that the tests fetch modules from.

use crate::debian;
use crate::process::say;

/// The Debian package, and the program in it.
const REGISTRY: &str = "docker-registry";

/// Installs the registry if it is missing. Without it, the tests that need it report that they are
/// skipped.
pub(crate) fn find_or_install() {
    if debian::which(REGISTRY).is_some() {
        return;
    }
    if let Err(error) = debian::install(&[REGISTRY.to_owned()]) {
        say(format!(
            "WARNING: modules from registries will NOT be tested, because {REGISTRY} is missing: \
             {error:#}"
        ));
    }
}
