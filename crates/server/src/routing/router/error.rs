//! Why routes cannot be served together.

/// Why routes cannot be served together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern is not of a known form.
    #[error(
        "the route \"{pattern}\" {problem}: write \"/x\" for exactly this path, \"/x/...\" for it and \
         all below, \"/{{name}}\" for any one segment, or \"/...\" for every path"
    )]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two routes hold for the same paths of the same host.
    #[error(
        "the route \"{pattern}\" is given twice (services \"{first}\" and \"{second}\"): remove one or \
         give it another pattern or host"
    )]
    Conflict {
        /// The pattern.
        pattern: String,
        /// The service that has it.
        first: String,
        /// The service that wants it too.
        second: String,
    },
}
