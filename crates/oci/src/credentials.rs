use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What `docker login` wrote.
#[derive(Debug, Default, Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    /// `user:password`, in base64.
    #[serde(default)]
    auth: String,
}

/// The header value of the credentials for a registry, from `$DOCKER_CONFIG/config.json` or
/// `~/.docker/config.json`. A file that is not there, or cannot be read, has none.
pub(crate) fn find(registry: &str) -> Option<String> {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".docker")))?;
    let text = std::fs::read_to_string(folder.join("config.json")).ok()?;
    in_config(&text, registry)
}

fn in_config(text: &str, registry: &str) -> Option<String> {
    let config: DockerConfig = serde_json::from_str(text).ok()?;
    // Docker's own registry has kept the name of its first version.
    let names = match registry {
        "docker.io" => vec!["https://index.docker.io/v1/", "docker.io"],
        other => vec![other],
    };
    let auth = names
        .iter()
        .find_map(|name| {
            let with_scheme = format!("https://{name}");
            config
                .auths
                .get(*name)
                .or_else(|| config.auths.get(&with_scheme))
        })?
        .auth
        .trim();
    // Written anew, so that nothing of the file but base64 gets into a header.
    let plain = STANDARD
        .decode(auth)
        .ok()
        .filter(|plain| plain.contains(&b':'))?;
    Some(format!("Basic {}", STANDARD.encode(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_docker_login() {
        let config = r#"{"auths": {
            "example.com:5000": {"auth": "dXNlcjpzZWNyZXQ="},
            "https://other.example": {"auth": "YTpi"},
            "https://index.docker.io/v1/": {"auth": "ZDpl"},
            "helper.example": {},
            "broken.example": {"auth": "no base64\r\n"}
        }, "credsStore": "x"}"#;
        for (registry, expected) in [
            ("example.com:5000", Some("Basic dXNlcjpzZWNyZXQ=")),
            ("other.example", Some("Basic YTpi")),
            ("docker.io", Some("Basic ZDpl")),
            ("helper.example", None),
            ("broken.example", None),
            ("unknown.example", None),
        ] {
            assert_eq!(
                in_config(config, registry).as_deref(),
                expected,
                "{registry}"
            );
        }
        assert_eq!(in_config("no json", "example.com"), None);
    }
}
