use std::error::Error;
use std::fmt;

pub(crate) const DOMAIN: &str = ".internal";

#[derive(Debug)]
pub(crate) struct NoSuchService {
    pub(crate) destination: String,
    /// The names of the existing services.
    pub(super) names: Vec<String>,
}

/// Longer lists do not help.
const MOST_NAMES: usize = 20;

impl Error for NoSuchService {}

impl fmt::Display for NoSuchService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no service of this host has that name; ")?;
        if self.names.is_empty() {
            return f.write_str("there are no services to call");
        }
        f.write_str("there are ")?;
        for (nth, name) in self.names.iter().take(MOST_NAMES).enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}http://{name}{DOMAIN}")?;
        }
        match self.names.len().saturating_sub(MOST_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_services_some_are_named() {
        let names = (0..23).map(|nth| format!("s{nth:02}")).collect();
        let destination = "http://s23.internal:80".to_owned();
        let text = NoSuchService { destination, names }.to_string();
        assert!(
            text.contains("there are http://s00.internal, http://s01.internal"),
            "{text}"
        );
        assert!(text.ends_with("http://s19.internal and 3 more"), "{text}");
    }
}
