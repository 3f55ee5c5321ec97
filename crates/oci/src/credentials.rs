use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError as Error, DockerCredential, get_credential};
use http::HeaderValue;

/// Returns the header value of the credentials for a registry, as `docker login` left them: in
/// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, or with the credential helper that is named
/// there. None if there are none. An error says why they cannot be used.
///
/// A helper is a program, so this may block.
pub(crate) fn find(registry: &str) -> Result<Option<HeaderValue>, String> {
    // Docker's own registry keeps the name of its first version.
    let names = match registry {
        "docker.io" => &["https://index.docker.io/v1/", registry][..],
        _ => &[registry],
    };
    let mut problem = None;
    for name in names {
        match header(get_credential(name)) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(None), Err)
}

fn header(found: Result<DockerCredential, Error>) -> Result<Option<HeaderValue>, String> {
    Err(match found {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            let plain = STANDARD.encode(format!("{name}:{password}"));
            return Ok(HeaderValue::try_from(format!("Basic {plain}")).ok());
        }
        Err(Error::NoCredentialConfigured | Error::ConfigNotFound | Error::ConfigReadError) => {
            return Ok(None);
        }
        // All helpers answer so for a registry that they do not know.
        Err(Error::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            return Ok(None);
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
    })
}

#[cfg(test)]
mod tests {
    use docker_credential::get_credential_from_reader;

    use super::*;

    fn in_config(text: &str, registry: &str) -> Result<Option<HeaderValue>, String> {
        header(get_credential_from_reader(text.as_bytes(), registry))
    }

    #[test]
    fn credentials_are_those_of_docker_login() {
        let config = r#"{"auths": {
            "example.com:5000": {"auth": "dXNlcjpzZWNyZXQ="},
            "https://other.example": {"auth": "YTpi"},
            "https://index.docker.io/v1/": {"auth": "ZDpl"},
            "helper.example": {}
        }, "credsStore": "there-is-no-such-helper"}"#;
        for (registry, expected) in [
            ("example.com:5000", Some("Basic dXNlcjpzZWNyZXQ=")),
            ("other.example", Some("Basic YTpi")),
            ("docker.io", Some("Basic ZDpl")),
            ("https://index.docker.io/v1/", Some("Basic ZDpl")),
        ] {
            let found = in_config(config, registry).unwrap();
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, expected, "{registry}");
        }
        for registry in ["helper.example", "unknown.example"] {
            assert!(in_config(config, registry).is_err(), "{registry}");
        }
        assert_eq!(in_config("no json", "example.com"), Ok(None));
    }

    #[test]
    fn an_error_says_why_credentials_cannot_be_used_and_shows_none() {
        let config = r#"{"auths": {
            "token.example": {"identitytoken": "hunter2"},
            "broken.example": {"auth": "hunter2\r\n"},
            "colon.example": {"auth": "aHVudGVyMg=="}
        }}"#;
        for (registry, reason) in [
            ("token.example", "identity tokens are not supported"),
            ("broken.example", "decod"),
            ("colon.example", "decod"),
        ] {
            let error = in_config(config, registry).unwrap_err();
            assert!(error.to_lowercase().contains(reason), "{registry}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
