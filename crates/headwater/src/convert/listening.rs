//! Converts the listeners of flags and the file, and checks that the host can listen on them.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Error, Result, ensure};
use headwater_config::ListenAddress;
use headwater_config::settings::{ListenArgs, ListenerSettings};
use headwater_server::{CertificateConcern, ListenerParams, TlsError, TlsParams};

use crate::admin::AdminParams;
use crate::convert;
use crate::convert::outputs;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::spec::config_location::{AtKey, ConfigLocations, Misplaced};
use crate::spec::host_spec::HostSettings;

#[derive(Default)]
pub(crate) struct Listening {
    pub(crate) listeners: Vec<ListenerParams>,
    /// Warnings about certificates that clients refuse. Binding the listeners logs them, too.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Returns the listeners whose certificates can be used.
pub(crate) fn params(
    flags: &ListenArgs,
    file: &HostSettings,
    admin: &AdminParams,
    locations: &ConfigLocations,
    found: &mut Diagnostics,
) -> Listening {
    let mut listening = Listening::default();
    let listeners = flags.listeners(&file.listeners);
    let listeners = listeners.map_err(|error| Diagnostic::usage(error.to_string()));
    let Some(listeners) = found.keep(listeners) else {
        return listening;
    };
    // Listeners of flags replace those of the file.
    let is_said = flags.listen.is_none() && !file.listeners.is_empty();
    for (index, listener) in listeners.iter().enumerate() {
        let place = |key: &str, flag: Option<&str>| match is_said {
            true => locations.entry("`[[listener]]`", "listener", index, key),
            false => flag.map_or_else(Position::default, Position::entry),
        };
        let one = usable(listener).and_then(|one| {
            let before = &listeners[..index];
            alone(&listener.listen, before, admin).at("listen")?;
            Ok(one)
        });
        match one {
            Ok((params, concerns)) => {
                listening.listeners.push(params);
                let warnings = concerns.iter().map(|concern| {
                    let key = certificate_key(concern.path(), listener).unwrap_or_default();
                    Diagnostic::certificate(place(&key, Some("--tls-cert")), concern)
                });
                listening.warnings.extend(warnings);
            }
            Err(Misplaced { key, error }) => {
                let place = place(&key, flag_of(&key));
                let error = error.context(format!("cannot listen on {}", listener.listen));
                found.error(Diagnostic::of(Kind::Listener, place, &error));
            }
        }
    }
    listening
}

/// Returns the parameters of a listener whose files can be used.
fn usable(
    listener: &ListenerSettings,
) -> Result<(ListenerParams, Vec<CertificateConcern>), Misplaced> {
    if let ListenAddress::Unix(path) = &listener.listen {
        can_be_bound(path).at("listen")?;
    }
    let params = convert::host::listener(listener)?;
    let concerns = params.tls.as_ref().map(TlsParams::check).transpose();
    let concerns = concerns.map_err(|error| Misplaced {
        key: key_of(&error, listener),
        error: error.into(),
    })?;
    Ok((params, concerns.unwrap_or_default()))
}

/// Checks that a Unix-domain socket could be created at a path, as far as possible without creating
/// it.
fn can_be_bound(path: &Path) -> Result<()> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        ensure!(
            found.file_type().is_socket(),
            "there is a file that is not a socket: remove it, or choose another path"
        );
    }
    outputs::can_be_made(path)
}

fn certificate_key(file: &Path, listener: &ListenerSettings) -> Option<String> {
    let mut certificates = listener.tls.iter().flat_map(|tls| &tls.certificates);
    let at = certificates.position(|files| files.certificate == file)?;
    Some(format!("tls.certificates.{at}.certificate"))
}

/// Returns the key that names the file of an error.
fn key_of(error: &TlsError, listener: &ListenerSettings) -> String {
    let certificates = listener.tls.iter().flat_map(|tls| &tls.certificates);
    let mut certificates = certificates.enumerate();
    let found = match error {
        TlsError::Certificate { path, .. } | TlsError::Version { path, .. } => {
            certificate_key(path, listener)
        }
        TlsError::Key { path, .. } | TlsError::EncryptedKey { path } => certificates
            .find(|(_, files)| files.key == *path)
            .map(|(at, _)| format!("tls.certificates.{at}.key")),
        TlsError::Mismatch {
            certificate, key, ..
        } => certificates
            .find(|(_, files)| files.certificate == *certificate && files.key == *key)
            .map(|(at, _)| format!("tls.certificates.{at}.key")),
        TlsError::Authorities { .. } => Some("tls.client_ca".to_owned()),
        _ => None,
    };
    found.unwrap_or_else(|| "tls".to_owned())
}

/// Returns the flag, and its variable, that name the file of a key.
fn flag_of(key: &str) -> Option<&'static str> {
    Some(match key.rsplit('.').next()? {
        "certificate" => "--tls-cert, or HEADWATER_TLS_CERT",
        "key" => "--tls-key, or HEADWATER_TLS_KEY",
        "client_ca" => "--tls-client-ca, or HEADWATER_TLS_CLIENT_CA",
        _ => return None,
    })
}

/// Checks that no other listener of this host uses the address.
fn alone(
    listen: &ListenAddress,
    before: &[ListenerSettings],
    admin: &AdminParams,
) -> Result<(), Error> {
    if let Some(other) = before.iter().find(|other| is_taken(listen, &other.listen)) {
        anyhow::bail!(
            "another listener is at {} already: give each an address of its own",
            other.listen
        );
    }
    for (what, address) in admin.addresses() {
        if is_taken(listen, &ListenAddress::Tcp(address)) {
            anyhow::bail!(
                "{what} is at {address}: give one of them another address (`[admin]`, --admin, \
                 --admin-probes)"
            );
        }
    }
    Ok(())
}

/// Returns true if the system lets only one of two addresses be used. An IPv6 address for all
/// interfaces may include those of IPv4, depending on the system's settings; this is not judged
/// here.
fn is_taken(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
            let is_same = one.ip() == other.ip() || is_any && one.is_ipv4() == other.is_ipv4();
            // Port 0 gives a different port each time.
            is_same && one.port() == other.port() && one.port() != 0
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_listens_at_an_address_and_at_all_of_its_interfaces() {
        let taken =
            |one: &str, other: &str| is_taken(&one.parse().unwrap(), &other.parse().unwrap());
        for (one, other) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::1]:80", "[::]:80"),
            ("unix:/x", "unix:/x"),
            ("systemd:a", "systemd:a"),
        ] {
            assert!(taken(one, other) && taken(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("[::1]:80", "0.0.0.0:80"),
            ("unix:/x", "unix:/y"),
            ("unix:/x", "systemd:/x"),
        ] {
            assert!(!taken(one, other) && !taken(other, one), "{one} {other}");
        }
    }
}
