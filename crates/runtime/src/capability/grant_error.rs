use std::fmt;

/// The reason why the value of a capability's key is not a valid grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GrantError {
    message: String,
    path: String,
}

impl GrantError {
    /// Returns an error about the whole value.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            path: String::new(),
        }
    }

    /// Adds the key, or the index of a list, whose value the error is about.
    #[must_use]
    pub fn at(mut self, key: impl fmt::Display) -> Self {
        self.path = match &*self.path {
            "" => key.to_string(),
            path => format!("{key}.{path}"),
        };
        self
    }

    /// Returns the path of the faulty part in the value, such as `hosts.0`. Empty for the whole
    /// value.
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
