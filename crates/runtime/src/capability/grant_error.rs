use std::fmt;

/// Why the value of a capability's key is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GrantError {
    message: String,
    path: String,
}

impl GrantError {
    /// The value as a whole is none.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            path: String::new(),
        }
    }

    /// It is about what stands in the value under this key, or at this index of a list.
    #[must_use]
    pub fn at(mut self, key: impl fmt::Display) -> Self {
        self.path = match &*self.path {
            "" => key.to_string(),
            path => format!("{key}.{path}"),
        };
        self
    }

    /// The place in the value that it is about, such as `hosts.0`. Empty for the whole of it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_given_from_the_inside_out() {
        let error = GrantError::new("wrong").at(0).at("hosts");
        assert_eq!((error.path(), &*error.to_string()), ("hosts.0", "wrong"));
        assert_eq!(GrantError::new("wrong").path(), "");
    }
}
