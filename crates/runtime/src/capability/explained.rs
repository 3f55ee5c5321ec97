use std::fmt::Display;

/// A line that describes a service's grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explained {
    /// A label and the granted items, such as `may call` and `https://api.example.com`.
    Fact {
        /// The label, at most twelve letters.
        what: &'static str,
        /// The granted items.
        items: Vec<String>,
    },
    /// A warning for the operator.
    Warning(String),
}

impl Explained {
    /// Returns a fact.
    #[must_use]
    pub fn list(what: &'static str, items: impl IntoIterator<Item = impl Display>) -> Self {
        let items = items.into_iter().map(|item| item.to_string()).collect();
        Self::Fact { what, items }
    }
}
