//! Finds routes that are never reached.

use headwater_server::VirtualHost;

/// The properties of a route that decide which route answers.
pub(crate) struct RoutePattern<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) hosts: Vec<VirtualHost>,
}

/// Returns the index of the earlier route that answers all requests of this one, if there is one.
pub(crate) fn shadowed_by(before: &[RoutePattern<'_>], place: &RoutePattern<'_>) -> Option<usize> {
    before
        .iter()
        .position(|earlier| covers(earlier.pattern, place.pattern) && holds(earlier, place))
}

pub(crate) fn matches_nothing(pattern: &str) -> bool {
    // Paths begin with a slash, so a matching pattern does, too.
    !pattern.starts_with('/')
}

fn covers(wide: &str, narrow: &str) -> bool {
    let Some(prefix) = wide.strip_suffix("/...") else {
        return wide == narrow;
    };
    let base = narrow.strip_suffix("/...").unwrap_or(narrow);
    base.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns true if one route applies to all hosts of the other. Wildcards are only compared for
/// equality.
fn holds(earlier: &RoutePattern<'_>, place: &RoutePattern<'_>) -> bool {
    earlier.hosts.is_empty()
        || !place.hosts.is_empty() && place.hosts.iter().all(|host| earlier.hosts.contains(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_shadowed_by_the_first_that_covers_it() {
        let hosts: Vec<VirtualHost> = vec!["a.example".parse().unwrap()];
        let all = |pattern| RoutePattern {
            pattern,
            hosts: Vec::new(),
        };
        let one = |pattern| RoutePattern {
            pattern,
            hosts: hosts.clone(),
        };
        let before = [all("/healthz"), one("/a/..."), all("/b/...")];
        for (place, expected) in [
            (all("/healthz"), Some(0)),
            (one("/healthz"), Some(0)),
            (all("/healthz/..."), None),
            (one("/a/x"), Some(1)),
            (one("/a"), Some(1)),
            (all("/a/x"), None),
            (all("/ab"), None),
            (all("/b/c/..."), Some(2)),
            (all("/b/..."), Some(2)),
            (all("/..."), None),
        ] {
            assert_eq!(shadowed_by(&before, &place), expected, "{}", place.pattern);
        }
        assert_eq!(shadowed_by(&[all("/...")], &all("/")), Some(0));
    }

    #[test]
    fn a_pattern_without_its_slash_matches_nothing() {
        for (pattern, expected) in [
            ("/", false),
            ("/...", false),
            ("/x/...", false),
            ("", true),
            ("...", true),
            ("x", true),
            ("x/...", true),
        ] {
            assert_eq!(matches_nothing(pattern), expected, "{pattern}");
        }
    }
}
