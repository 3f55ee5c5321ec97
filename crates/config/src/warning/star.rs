//! Finds routes with a `*`, which is a wildcard in other servers.

use super::{Warning, WarningKind};
use crate::source_span::Location;

pub(super) fn of_route(path: &str, location: Location) -> Option<Warning> {
    let remedy = |path: &str| match path.split('/').any(|segment| segment == "*") {
        true => "write `{name}` in place of `*` for any one segment".to_owned(),
        false => WHOLE_SEGMENTS.to_owned(),
    };
    warning(path, location, remedy)
}

/// Returns the warning about a route of a `modules.toml`, which cannot have `{name}`.
pub(super) fn of_module(path: &str, location: Location) -> Option<Warning> {
    warning(path, location, |_| WHOLE_SEGMENTS.to_owned())
}

const WHOLE_SEGMENTS: &str = "write the paths one by one, or `/...` after their common beginning";

fn warning(
    path: &str,
    location: Location,
    remedy_within: impl Fn(&str) -> String,
) -> Option<Warning> {
    if !path.contains('*') {
        return None;
    }
    let before = path.trim_end_matches('*');
    let is_below = !before.contains('*') && (before.is_empty() || before.ends_with('/'));
    let remedy = match (is_below, before.trim_end_matches('/')) {
        (true, "") => "write `/...` for every path".to_owned(),
        (true, before) => format!("write `{before}/...` for `{before}` and all below it"),
        (false, _) => remedy_within(path),
    };
    Some(Warning {
        kind: WarningKind::LiteralStar,
        location,
        message: format!("the `*` in the route `{path}` stands for itself, not for any text"),
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(of: fn(&str, Location) -> Option<Warning>, path: &str) -> Option<String> {
        let location = Location {
            line: 1,
            column: 1,
            text: String::new(),
        };
        of(path, location).map(|warning| warning.remedy)
    }

    #[test]
    fn a_star_is_told_with_what_to_write_in_its_place() {
        for (path, said) in [
            ("/*", "`/...` for every path"),
            ("*", "`/...` for every path"),
            ("/a/*", "`/a/...` for `/a` and all below"),
            ("/a/**", "`/a/...`"),
            ("/a/*/b", "`{name}`"),
            ("/a/*/b/...", "`{name}`"),
            ("/*/*", "`{name}`"),
            ("/*.html", "one by one"),
            ("/a*", "one by one"),
        ] {
            let told = remedy(of_route, path).unwrap();
            assert!(told.contains(said), "{path}: {told}");
        }
        for path in ["/", "/...", "/{id}/x/..."] {
            assert_eq!(remedy(of_route, path), None, "{path}");
        }
        assert!(
            remedy(of_module, "/a/*")
                .unwrap()
                .contains("write `/a/...`")
        );
        assert!(!remedy(of_module, "/a/*/b").unwrap().contains("{name}"));
    }
}
