use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError as Error, DockerCredential, get_credential};
use http::HeaderValue;

/// Returns the header value of the credentials for a registry, as `docker login` left them: in
/// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, or with the credential helper that is named
/// there. None if there are none; none, with a warning, if they cannot be read.
///
/// A helper is a program, so this may block.
pub(crate) fn find(registry: &str) -> Option<HeaderValue> {
    // Docker's own registry keeps the name of its first version.
    let names = match registry {
        "docker.io" => &["https://index.docker.io/v1/", registry][..],
        _ => &[registry],
    };
    let mut found = names.iter().map(|name| get_credential(name));
    found.find_map(|found| header(registry, found))
}

fn header(registry: &str, found: Result<DockerCredential, Error>) -> Option<HeaderValue> {
    let problem = match found {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            let plain = STANDARD.encode(format!("{name}:{password}"));
            return HeaderValue::try_from(format!("Basic {plain}")).ok();
        }
        Err(Error::NoCredentialConfigured | Error::ConfigNotFound | Error::ConfigReadError) => {
            return None;
        }
        // All helpers answer so for a registry that they do not know.
        Err(Error::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            return None;
        }
        Ok(DockerCredential::IdentityToken(_)) => "identity tokens are not supported".to_owned(),
        // Helpers explain failures on either; what looks like credentials is not logged.
        Err(Error::HelperFailure { stdout, stderr, .. }) => {
            let said = [stdout, stderr].map(|said| said.trim().to_owned());
            let said = said.join(" ");
            match said.contains("Secret") {
                true => "the credential helper failed".to_owned(),
                false => format!("the credential helper failed: {}", said.trim()),
            }
        }
        Err(error) => error.to_string(),
    };
    tracing::warn!(registry, "credentials cannot be used: {problem}");
    None
}

#[cfg(test)]
mod tests {
    use docker_credential::get_credential_from_reader;

    use super::*;

    fn in_config(text: &str, registry: &str) -> Option<HeaderValue> {
        header(
            registry,
            get_credential_from_reader(text.as_bytes(), registry),
        )
    }

    #[test]
    fn credentials_are_those_of_docker_login() {
        let config = r#"{"auths": {
            "example.com:5000": {"auth": "dXNlcjpzZWNyZXQ="},
            "https://other.example": {"auth": "YTpi"},
            "https://index.docker.io/v1/": {"auth": "ZDpl"},
            "helper.example": {},
            "token.example": {"identitytoken": "x"},
            "broken.example": {"auth": "no base64\r\n"}
        }, "credsStore": "there-is-no-such-helper"}"#;
        for (registry, expected) in [
            ("example.com:5000", Some("Basic dXNlcjpzZWNyZXQ=")),
            ("other.example", Some("Basic YTpi")),
            ("docker.io", Some("Basic ZDpl")),
            ("https://index.docker.io/v1/", Some("Basic ZDpl")),
            ("helper.example", None),
            ("token.example", None),
            ("broken.example", None),
            ("unknown.example", None),
        ] {
            let found = in_config(config, registry);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, expected, "{registry}");
        }
        assert_eq!(in_config("no json", "example.com"), None);
    }
}
