//! Errors of making a router.

/// An error of making a router.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern is malformed.
    #[error(
        "the route \"{pattern}\" {problem}: write \"/x\" for exactly this path, \"/x/...\" for it and \
         all below, \"/{{name}}\" for any one segment, or \"/...\" for every path"
    )]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// The problem.
        problem: &'static str,
    },
    /// Two routes match the same paths of the same host.
    #[error(
        "the route \"{pattern}\" is given twice (services \"{first}\" and \"{second}\"): remove one or \
         give it another pattern or host"
    )]
    Conflict {
        /// The pattern.
        pattern: String,
        /// The service of the first route.
        first: String,
        /// The service of the second route.
        second: String,
    },
}
