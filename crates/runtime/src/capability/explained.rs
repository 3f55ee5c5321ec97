use std::fmt::Display;

/// A line of what a service is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explained {
    /// What is granted, under the name of what it is: `may call` and `https://api.example.com`.
    Fact {
        /// What it is, in at most twelve letters.
        what: &'static str,
        /// What is granted.
        items: Vec<String>,
    },
    /// Something that the operator should know.
    Warning(String),
}

impl Explained {
    /// A fact.
    #[must_use]
    pub fn list(what: &'static str, items: impl IntoIterator<Item = impl Display>) -> Self {
        let items = items.into_iter().map(|item| item.to_string()).collect();
        Self::Fact { what, items }
    }
}
