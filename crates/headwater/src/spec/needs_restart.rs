//! Finds settings of the host that have changed in a reload and need a restart.

use crate::spec::host_spec::HostSettings;

/// Returns the keys whose values differ, such as `server.places`. A section that turns something on
/// and exists on one side only is named as a whole, and so are the listeners.
pub(crate) fn differing(before: &HostSettings, after: &HostSettings) -> Vec<String> {
    let HostSettings {
        listeners,
        server,
        admin,
        access_log,
        reload,
        telemetry,
    } = before;
    let of = |section: &str, keys: Vec<&str>| -> Vec<_> {
        let named = keys.into_iter().map(|key| format!("{section}.{key}"));
        named.collect()
    };
    let whole = |section: &str, differs: bool| -> Vec<_> {
        let named = differs.then(|| section.to_owned());
        named.into_iter().collect()
    };
    let admin = match (admin, &after.admin) {
        (Some(before), Some(after)) => of("admin", before.differing(after)),
        (before, after) => whole("admin", before.is_some() != after.is_some()),
    };
    let access_log = match (access_log, &after.access_log) {
        (Some(before), Some(after)) => of("access_log", before.differing(after)),
        (before, after) => whole("access_log", before.is_some() != after.is_some()),
    };
    let keys = [
        whole("listener", *listeners != after.listeners),
        of("server", server.differing(&after.server)),
        admin,
        access_log,
        of("reload", reload.differing(&after.reload)),
        of("telemetry", telemetry.differing(&after.telemetry)),
    ];
    keys.concat()
}

#[cfg(test)]
mod tests {
    use headwater_config::File;

    use super::*;

    fn settings(text: &str) -> HostSettings {
        let answer = "[[answer]]\nroute = \"/\"\n";
        let file = File::parse(&format!("{text}{answer}")).unwrap();
        HostSettings {
            listeners: file.listener,
            server: file.server,
            admin: file.admin,
            access_log: file.access_log,
            reload: file.reload,
            telemetry: file.telemetry,
        }
    }

    #[test]
    fn each_key_that_has_changed_is_named_and_no_other() {
        let before = settings(
            "[server]\nplaces = 10\nmax_headers = 10\n[admin]\n[access_log]\nkeep = 1\n\
             [telemetry]\nlog = \"warn\"\n",
        );
        assert!(differing(&before, &before).is_empty());
        let after = settings(
            "[server]\nplaces = 20\nmax_headers = 10\n[access_log]\nkeep = 1\n\
             [telemetry]\nlog_format = \"json\"\n[[listener]]\nlisten = \"127.0.0.1:81\"\n",
        );
        assert_eq!(
            differing(&before, &after),
            [
                "listener",
                "server.places",
                "admin",
                "telemetry.log",
                "telemetry.log_format"
            ]
        );
    }
}
