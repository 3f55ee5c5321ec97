use headwater_egress::{GrantError, Grants};
use thiserror::Error;
use url::Url;

const ALL: &str = "insecure:allow-all";

/// An invalid value of `allowed_hosts`. WAGI failed each outgoing request because of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AllowedHostsError {
    /// The value is not a URL with a host.
    #[error(
        "`allowed_hosts` has \"{0}\", which is not a URL with a host: write it as \
         \"https://api.example.com\", or \"{ALL}\" for all hosts"
    )]
    NoUrl(String),
    /// The host cannot be granted.
    #[error("`allowed_hosts` has \"{0}\"")]
    Grant(String, #[source] GrantError),
}

/// Returns what a module may reach, from the `allowed_hosts` of its modules.toml.
///
/// As in WAGI, only the host of each URL matters; scheme, port and path are ignored.
///
/// # Errors
///
/// Returns an error for the first invalid value.
pub fn allowed_hosts<T: AsRef<str>>(
    values: impl IntoIterator<Item = T>,
) -> Result<Grants, AllowedHostsError> {
    let mut hosts = Vec::new();
    for value in values {
        let value = value.as_ref();
        if value == ALL {
            return Ok(Grants::all());
        }
        let url = Url::parse(value).ok();
        let host = url
            .as_ref()
            .and_then(Url::host_str)
            .filter(|host| !host.is_empty())
            .ok_or_else(|| AllowedHostsError::NoUrl(value.to_owned()))?;
        Grants::parse([host]).map_err(|error| AllowedHostsError::Grant(value.to_owned(), error))?;
        hosts.push(host.to_owned());
    }
    Grants::parse(&hosts).map_err(|error| AllowedHostsError::Grant(hosts.join(" "), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_counts() {
        let grants = allowed_hosts(["https://api.example.com:8443/x", "http://[::1]/"]).unwrap();
        for (uri, allowed) in [
            ("http://api.example.com/", true),
            ("https://api.example.com:9999/y", true),
            ("http://[::1]:8080/", true),
            ("http://example.com/", false),
            ("http://api.example.com.evil.example/", false),
        ] {
            assert_eq!(grants.allow(&uri.parse().unwrap()), allowed, "{uri}");
        }
        assert!(allowed_hosts::<&str>([]).unwrap().is_empty());
        assert!(allowed_hosts(["http://a.example", ALL]).unwrap().is_all());
    }

    #[test]
    fn what_is_no_url_is_told() {
        for bad in ["", "api.example.com", "data:x", "file:///x"] {
            let error = allowed_hosts([bad]).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{bad}\"")), "{error}");
        }
    }
}
