use std::fmt::Write;

/// The authentication that a registry asks for (RFC 9110, 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Bearer(Bearer),
    Basic,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut bearer = Bearer::default();
        for (name, value) in parse_parameters(parameters) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => bearer.realm = value,
                "service" => bearer.service = Some(value),
                "scope" => bearer.scope = Some(value),
                _ => {}
            }
        }
        (!bearer.realm.is_empty()).then_some(Self::Bearer(bearer))
    }
}

impl Bearer {
    /// Returns the URI that gives a token to pull from this repository.
    pub(crate) fn uri(&self, repository: &str) -> String {
        let mut uri = self.realm.clone();
        let pull = format!("repository:{repository}:pull");
        let scope = self.scope.as_deref().unwrap_or(&pull);
        let pairs = [("service", self.service.as_deref()), ("scope", Some(scope))];
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str(name);
            uri.push('=');
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        uri.push(char::from(byte));
                    }
                    // Writes to a `String` cannot fail.
                    _ => _ = write!(uri, "%{byte:02X}"),
                }
            }
        }
        uri
    }
}

/// Parses `a="b", c=d`: a comma in quotation marks is part of the value.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, value)) = rest.split_once('=') {
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_once(',').unwrap_or((value, "")),
        };
        found.push((name.trim().to_owned(), value.trim().to_owned()));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_leads_to_a_token_server() {
        let text = r#"Bearer realm="https://auth.example/token?x=1",service="reg istry",scope="repository:a/b:pull,push""#;
        let Some(Challenge::Bearer(bearer)) = Challenge::parse(text) else {
            panic!("a bearer challenge")
        };
        assert_eq!(
            bearer.uri("a/b"),
            "https://auth.example/token?x=1&service=reg%20istry&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        let Some(Challenge::Bearer(bearer)) = Challenge::parse("bearer realm=https://a/t") else {
            panic!("a bearer challenge")
        };
        assert_eq!(
            bearer.uri("a/b"),
            "https://a/t?scope=repository%3Aa%2Fb%3Apull"
        );
    }

    #[test]
    fn other_challenges() {
        assert_eq!(
            Challenge::parse(r#"Basic realm="x""#),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("basic"), Some(Challenge::Basic));
        for text in [
            "",
            "Digest realm=\"x\"",
            "Bearer",
            "Bearer service=\"x\"",
            "Bearer realm=\"\"",
        ] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}
