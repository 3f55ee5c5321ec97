//! The addresses of the admin listener, and the access to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Error, anyhow, ensure};
use headwater_config::Secret;
use headwater_config::settings::AdminSettings;
use headwater_server::{VirtualHost, VirtualHostError};

use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::spec::config_location::ConfigLocations;

/// The default address of the admin listener: on this machine only.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_901);

/// The addresses of the admin listener and of the listener for probes, if they are on, and the
/// access to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdminParams {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) probes: Option<SocketAddr>,
    /// Names that may be in `Host`, besides addresses.
    pub(super) hosts: Vec<VirtualHost>,
    pub(super) token: Option<Secret>,
}

// === impl AdminParams ===

impl AdminParams {
    /// Merges flags and variables with the section of the file, which turns the listener on.
    /// Reports unusable settings in `found`.
    pub(crate) fn new(
        flags: AdminSettings,
        file: Option<&AdminSettings>,
        locations: &ConfigLocations,
        found: &mut Diagnostics,
    ) -> Self {
        let by_flag = [
            flags.probes.is_some(),
            flags.hosts.is_some(),
            flags.token.is_some(),
        ];
        let AdminSettings {
            listen,
            probes,
            hosts,
            token,
        } = flags.or(file.cloned().unwrap_or_default());
        let listen = listen.map(|address| address.get());
        let listen = listen.or_else(|| file.map(|_| DEFAULT));
        let probes = probes.map(|address| address.get());
        let [probes_by_flag, hosts_by_flag, token_by_flag] = by_flag;
        let mut wrong = |key, flag: &str, by_flag, error: &Error| {
            let place = match by_flag {
                true => Position::entry(flag),
                false => locations.section("admin", key),
            };
            found.error(Diagnostic::of(Kind::Setting, place, error));
        };
        if let (Some(listen), Some(probes)) = (listen, probes)
            && listen == probes
            && listen.port() != 0
        {
            let error = anyhow!(
                "the admin listener is at {listen} as well: give each an address of its own (`listen` and \
                 `probes` of `[admin]`, --admin and --admin-probes)"
            );
            wrong("probes", "--admin-probes", probes_by_flag, &error);
        }
        let mut patterns = Vec::new();
        for host in hosts.unwrap_or_default() {
            match host.parse() {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let error = VirtualHostError::into(error);
                    wrong("hosts", "--admin-hosts", hosts_by_flag, &error);
                }
            }
        }
        let token = token.map(|source| token_of(source.read("admin.token")?));
        let token = token.transpose().unwrap_or_else(|error| {
            wrong("token", "--admin-token-file", token_by_flag, &error);
            None
        });
        Self {
            listen,
            probes,
            hosts: patterns,
            token,
        }
    }

    /// Returns true if one of the listeners is on.
    pub(crate) fn is_on(&self) -> bool {
        self.listen.is_some() || self.probes.is_some()
    }

    /// Returns the names and addresses of the listeners that are on.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let listen = self.listen.map(|address| ("the admin listener", address));
        let probes = self
            .probes
            .map(|address| ("the listener for probes", address));
        listen.into_iter().chain(probes)
    }
}

/// Checks that a header field can hold the token.
fn token_of(secret: Secret) -> Result<Secret, Error> {
    let token = secret.reveal();
    ensure!(
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "the admin listener's token cannot be used: it must be one or more visible ASCII characters, \
         without blanks, such as the output of `openssl rand -hex 32`"
    );
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use headwater_config::File;

    use super::*;

    fn params(section: &str, flags: AdminSettings) -> (AdminParams, Vec<String>) {
        let text = format!("[[answer]]\nroute = \"/\"\n{section}");
        let file = File::parse(&text).unwrap();
        let locations = ConfigLocations::new(Path::new("h.toml"), file.source());
        let mut found = Diagnostics::default();
        let params = AdminParams::new(flags, file.admin.as_ref(), &locations, &mut found);
        let errors = found.errors.iter().map(ToString::to_string);
        (params, errors.collect())
    }

    #[test]
    fn the_section_turns_the_listener_on_and_probes_are_there_without_it() {
        let (nothing, _) = params("", AdminSettings::default());
        assert!(!nothing.is_on());
        let (section, _) = params("[admin]", AdminSettings::default());
        assert_eq!(section.listen, Some(DEFAULT));
        let flags = AdminSettings {
            probes: Some("127.0.0.1:1".parse().unwrap()),
            ..AdminSettings::default()
        };
        let (probes, errors) = params("", flags);
        assert!(errors.is_empty(), "{errors:?}");
        assert!(probes.is_on() && probes.listen.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_place() {
        let told = |section: &str| {
            let (_, mut errors) = params(section, AdminSettings::default());
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors.remove(0)
        };
        let same = told("[admin]\nprobes = \"127.0.0.1:9901\"");
        assert!(
            same.contains("line 4") && same.contains("of its own"),
            "{same}"
        );
        let hosts = told("[admin]\nhosts = [\"a b\"]");
        assert!(
            hosts.contains("line 4") && hosts.contains("`a b`"),
            "{hosts}"
        );
        let token = told("[admin]\ntoken = { file = \"/nowhere/token\" }");
        assert!(
            token.contains("line 4") && token.contains("/nowhere/token"),
            "{token}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for bad in ["", "\n", "s3cret word", "s3crét"] {
            std::fs::write(&file, bad).unwrap();
            let token = told(&format!("[admin]\ntoken = {{ file = {file:?} }}"));
            assert!(token.contains("cannot be used"), "{token}");
            assert!(!token.contains("s3cr"), "{token}");
        }
    }
}
