use crate::Request;

/// The path and query parameters of a request. Names and values are percent-decoded; of two
/// parameters with the same name, the first counts.
pub struct Query {
    /// The path, as sent.
    pub path: String,
    parameters: Vec<(String, String)>,
}

impl Query {
    pub fn of(request: &Request) -> Self {
        Self::parse(&request.get_path_with_query().unwrap_or_default())
    }

    pub fn parse(path_with_query: &str) -> Self {
        let (path, query) = path_with_query
            .split_once('?')
            .unwrap_or((path_with_query, ""));
        let parameters = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        Self {
            path: path.to_owned(),
            parameters,
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the parameter as a number, or `default` if it is missing or not a number.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_first_counts() {
        let query = Query::parse("/a/b?to=http%3A%2F%2Fx:1&k=7&k=8&flag");
        assert_eq!(query.path, "/a/b");
        assert_eq!(query.get("to"), Some("http://x:1"));
        assert_eq!(query.number("k", 1), 7);
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.number("flag", 3), 3);
    }
}
