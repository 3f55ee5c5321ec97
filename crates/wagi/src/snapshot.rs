//! The environment and the arguments of a module's last requests, for operators.
//!
//! Values that may be secret are never kept or logged: variables of the configuration and of the request's context,
//! and header fields that carry credentials.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use headwater_core::{REDACTED, RequestId, RequestScope};
use parking_lot::Mutex;
use tracing::Level;

use crate::environment::{Environment, SET_BY_HOST};

/// The `tracing` target of a snapshot in the log.
pub const ENVIRONMENT_TARGET: &str = "headwater::environment";

/// The requests whose snapshots are kept.
const KEPT: usize = 100;

/// Parts of the names of header fields whose values are secret, as in a variable.
const SECRET: [&str; 13] = [
    "ASSERTION",
    "AUTH",
    "CERT",
    "COOKIE",
    "CREDENTIAL",
    "CSRF",
    "JWT",
    "KEY",
    "PASS",
    "SECRET",
    "SESSION",
    "SIGNATURE",
    "TOKEN",
];

/// The environment and the arguments that a module got for one request. Values that may be secret are
/// `<redacted>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The id of the request.
    pub request: RequestId,
    /// Names and values of the variables, sorted by name.
    pub environment: Vec<(String, String)>,
    /// The arguments, the first one included, which is the name of the program.
    pub arguments: Vec<String>,
}

/// The snapshots of a module's last requests.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<VecDeque<Snapshot>>);

// === impl Snapshot ===

impl Snapshot {
    /// `context`: the variables that have values of the request's context.
    fn new(
        request: RequestId,
        environment: &Environment<'_>,
        context: &[(String, Arc<str>)],
        arguments: &[String],
    ) -> Self {
        let of_context = |name: &str| context.iter().any(|(variable, _)| variable == name);
        let shown = environment.iter().map(|(name, value)| {
            let is_hidden = is_secret(name) || of_context(name);
            let value = if is_hidden { REDACTED } else { value };
            (name.to_string(), value.to_owned())
        });
        Self {
            request,
            environment: shown.collect(),
            arguments: arguments.to_owned(),
        }
    }
}

/// Returns true unless the variable is known to hold what the log and the traces show anyway.
fn is_secret(name: &str) -> bool {
    match name.strip_prefix("HTTP_") {
        Some(field) => SECRET.iter().any(|part| field.contains(part)),
        None => {
            !SET_BY_HOST.contains(&name)
                && !["HTTPS", "REMOTE_PORT", "X_RELATIVE_PATH"].contains(&name)
        }
    }
}

// === impl Snapshots ===

impl Snapshots {
    /// Logs what a module is given, and keeps it if `keep` is true. Does nothing if nobody asks for it.
    pub(crate) fn record(
        &self,
        keep: bool,
        scope: &RequestScope,
        environment: &Environment<'_>,
        context: &[(String, Arc<str>)],
        arguments: &[String],
    ) {
        let logs = tracing::enabled!(target: ENVIRONMENT_TARGET, Level::DEBUG);
        if !keep && !logs {
            return;
        }
        let snapshot = Snapshot::new(scope.id(), environment, context, arguments);
        if logs {
            tracing::debug!(
                target: ENVIRONMENT_TARGET,
                request_id = %snapshot.request,
                service = &**scope.service(),
                environment = %Variables(&snapshot.environment),
                arguments = ?snapshot.arguments,
                "the module's environment"
            );
        }
        if keep {
            self.keep(snapshot);
        }
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut kept = self.0.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(snapshot);
    }

    pub(crate) fn find(&self, request: RequestId) -> Option<Snapshot> {
        let kept = self.0.lock();
        kept.iter().find(|kept| kept.request == request).cloned()
    }
}

/// Variables as a shell prints them, with quotes.
struct Variables<'a>(&'a [(String, String)]);

impl fmt::Display for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, value)) in self.0.iter().enumerate() {
            let space = if nth == 0 { "" } else { " " };
            write!(f, "{space}{name}={value:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_not_to_be_secret_is_shown() {
        for shown in [
            "PATH_INFO",
            "QUERY_STRING",
            "HTTPS",
            "HTTP_HOST",
            "HTTP_ACCEPT",
            "REMOTE_PORT",
        ] {
            assert!(!is_secret(shown), "{shown}");
        }
        for secret in [
            "DATABASE_URL",
            "HEADWATER_CONTEXT_USER",
            "HTTP_AUTHORIZATION",
            "HTTP_COOKIE",
            "HTTP_PROXY_AUTHORIZATION",
            "HTTP_X_API_KEY",
            "HTTP_X_CSRF_TOKEN",
            "HTTP_X_JWT",
            "HTTP_X_FORWARDED_CLIENT_CERT",
            "GREETING",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
    }

    #[test]
    fn values_of_the_context_are_hidden_whatever_their_variable() {
        let environment = [("PATH_INFO", "/x"), ("REMOTE_USER", "ann")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let context = [("REMOTE_USER".to_owned(), "ann".into())];
        let id = RequestId::new();
        let snapshot = Snapshot::new(id, &environment.into(), &context, &[]);
        let shown: Vec<_> = snapshot
            .environment
            .iter()
            .map(|(_, value)| &**value)
            .collect();
        assert_eq!(shown, ["/x", REDACTED]);
    }

    #[test]
    fn the_last_hundred_are_kept() {
        let snapshots = Snapshots::default();
        let ids: Vec<_> = (0..=KEPT).map(|_| RequestId::new()).collect();
        for id in &ids {
            let snapshot = Snapshot::new(*id, &Environment::new(), &[], &[]);
            snapshots.keep(snapshot);
        }
        assert_eq!(snapshots.find(ids[0]), None);
        assert_eq!(snapshots.find(ids[1]).unwrap().request, ids[1]);
        assert_eq!(snapshots.find(ids[KEPT]).unwrap().request, ids[KEPT]);
    }
}
