use std::fmt;
use std::net::IpAddr;

use crate::OciError;
use crate::digest::Digest;

/// A module in a registry: `HOST[:PORT]/NAME[:TAG][@DIGEST]`.
///
/// As with Docker, a first part without a dot or port is not a host but a name at `docker.io`, and the
/// default tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

const DOCKER: &str = "docker.io";

impl Reference {
    /// Parses a reference.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a reference.
    pub fn parse(text: &str) -> Result<Self, OciError> {
        let error = || OciError::Reference(text.to_owned());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).ok_or_else(error)?)),
            None => (text, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if first == "localhost" || first.contains(['.', ':']) => {
                (first, path)
            }
            _ => (DOCKER, rest),
        };
        let (name, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
        let is_name = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
                // Never a relative path.
                && !part.trim_matches('.').is_empty()
        };
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !name.split('/').all(is_name) || tag.is_empty() || !tag.bytes().all(is_tag) {
            return Err(error());
        }
        let repository = match registry == DOCKER && !name.contains('/') {
            true => format!("library/{name}"),
            false => name.to_owned(),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.to_owned(),
            digest,
        })
    }

    /// Returns the registry, as a person writes it.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the manifest's name in the registry: the digest if there is one, else the tag.
    pub(crate) fn manifest(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag.clone(),
        }
    }

    /// Returns the base URL of the registry's API, such as `https://example.com/v2/name`.
    ///
    /// Uses clear text only within the machine, because what is fetched is run.
    pub(crate) fn base(&self) -> String {
        let host = match self.registry.as_str() {
            DOCKER => "registry-1.docker.io",
            host => host,
        };
        let scheme = if is_this_machine(host) {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{host}/v2/{}", self.repository)
    }
}

/// Returns true if a host, with or without a port, is this machine.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registry,
            repository,
            tag,
            digest,
        } = self;
        write!(f, "{registry}/{repository}:{tag}")?;
        digest
            .as_ref()
            .map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let hex = "a".repeat(64);
        for (text, whole, base) in [
            (
                "foo:bar",
                "docker.io/library/foo:bar",
                "https://registry-1.docker.io/v2/library/foo",
            ),
            (
                "example/foo:1.2.3",
                "docker.io/example/foo:1.2.3",
                "https://registry-1.docker.io/v2/example/foo",
            ),
            (
                "example.com/foo:dev",
                "example.com/foo:dev",
                "https://example.com/v2/foo",
            ),
            (
                "example.com:9000/foo:dev",
                "example.com:9000/foo:dev",
                "https://example.com:9000/v2/foo",
            ),
            (
                "localhost/a/b",
                "localhost/a/b:latest",
                "http://localhost/v2/a/b",
            ),
            (
                "127.0.0.1:5000/a",
                "127.0.0.1:5000/a:latest",
                "http://127.0.0.1:5000/v2/a",
            ),
            (
                "[::1]:5000/a",
                "[::1]:5000/a:latest",
                "http://[::1]:5000/v2/a",
            ),
            (
                "10.0.0.1:5000/a",
                "10.0.0.1:5000/a:latest",
                "https://10.0.0.1:5000/v2/a",
            ),
            (
                "localhost.example.com/a",
                "localhost.example.com/a:latest",
                "https://localhost.example.com/v2/a",
            ),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), whole);
            assert_eq!(reference.base(), base);
        }
        let pinned = Reference::parse(&format!("example.com/foo:dev@sha256:{hex}")).unwrap();
        assert_eq!(pinned.manifest(), format!("sha256:{hex}"));
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        for text in [
            "",
            ":tag",
            "example.com/",
            "example.com/a:",
            "a b",
            "example.com/A",
            "x/../y",
            "x//y",
            "a@sha256:12",
            "a@md5:00",
            "example.com/a:t?x",
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
