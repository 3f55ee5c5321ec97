//! The registry that the tests fetch modules from.

use crate::debian;
use crate::process::say;

/// Debian's package, and the program in it.
const REGISTRY: &str = "docker-registry";

/// Installs it if it is not there. Without it the tests that need it say that they were skipped.
pub(crate) fn find_or_install() {
    if debian::which(REGISTRY).is_some() {
        return;
    }
    if let Err(error) = debian::install(&[REGISTRY.to_owned()]) {
        say(format!(
            "WARNING: modules from registries will NOT be tested, because there is no {REGISTRY}: \
             {error:#}"
        ));
    }
}
