use crate::settings::Compat;

/// A WAGI route pattern: `/foo` matches only that path, `/foo/...` also everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// This exact path; a trailing slash matters.
    Exact(&'a str),
    /// This prefix, ending at a slash. `/...` has the empty prefix.
    Prefix(&'a str),
}

impl<'a> Route<'a> {
    /// Parses a pattern. Anything that does not end in `/...` is exact, including `...` alone.
    pub(crate) fn parse(pattern: &'a str) -> Self {
        match pattern.strip_suffix("/...") {
            Some(prefix) => Self::Prefix(prefix),
            None => Self::Exact(pattern),
        }
    }

    /// Returns the pattern of a route that a module declares below its own: one slash between the
    /// two, and a wildcard if the lower one has it.
    ///
    /// WAGI 0.8.1 made `/x//...` of `/...` below `/x`, which matches next to nothing.
    pub(crate) fn below(self, pattern: &str, compat: Compat) -> String {
        let (Self::Exact(base) | Self::Prefix(base)) = self;
        let base = base.strip_suffix('/').unwrap_or(base);
        if compat == Compat::Strict && pattern == "/..." {
            return format!("{base}//...");
        }
        let rest = pattern.strip_prefix('/').unwrap_or(pattern);
        format!("{base}/{rest}")
    }

    /// Returns CGI's `SCRIPT_NAME`: the part of the path that names the module.
    pub(crate) fn script_name(self) -> String {
        match self {
            Self::Exact(path) => path.to_owned(),
            Self::Prefix(prefix) if prefix.starts_with('/') => prefix.to_owned(),
            Self::Prefix(prefix) => format!("/{prefix}"),
        }
    }

    /// Returns CGI's `PATH_INFO` before decoding: the rest of the path below a prefix.
    pub(crate) fn path_info(self, path: &str) -> &str {
        match self {
            Self::Exact(_) => "",
            Self::Prefix(prefix) => match path.strip_prefix(prefix) {
                Some(rest) if rest.starts_with('/') => rest,
                _ => "",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_path() {
        for (pattern, path, info) in [
            ("/static/...", "/static/images/icon.png", "/images/icon.png"),
            ("/static/...", "/static", ""),
            ("/static/...", "/static/", "/"),
            ("/static/...", "/staticfoo", ""),
            ("/static/...", "/other", ""),
            ("/static", "/static", ""),
            ("/...", "/", "/"),
            ("/...", "/x", "/x"),
            ("/...", "/x%2Fy/", "/x%2Fy/"),
            ("/", "/", ""),
            ("...", "...", ""),
        ] {
            assert_eq!(
                Route::parse(pattern).path_info(path),
                info,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_route_below_another_has_one_slash_between() {
        for (route, below, expected) in [
            ("/", "/exact", "/exact"),
            ("/", "exact", "/exact"),
            ("/...", "/exact", "/exact"),
            ("/exactparent", "/exact", "/exactparent/exact"),
            ("/exactparentslash/", "/exact", "/exactparentslash/exact"),
            ("/wildcardparent/...", "/exact", "/wildcardparent/exact"),
            (
                "/wildcardparent/...",
                "/wild/...",
                "/wildcardparent/wild/...",
            ),
            ("/exactparent", "wild/...", "/exactparent/wild/..."),
            ("/x", "/", "/x/"),
        ] {
            for compat in [Compat::Default, Compat::Strict] {
                assert_eq!(Route::parse(route).below(below, compat), expected);
            }
        }
        assert_eq!(Route::parse("/x").below("/...", Compat::Default), "/x/...");
        assert_eq!(Route::parse("/x").below("/...", Compat::Strict), "/x//...");
    }

    #[test]
    fn the_script_name_is_the_route_without_its_wildcard() {
        for (pattern, name) in [
            ("/", "/"),
            ("/foo", "/foo"),
            ("/foo/", "/foo/"),
            ("/foo/...", "/foo"),
            ("/foo/bar/...", "/foo/bar"),
            ("/...", "/"),
            ("foo/...", "/foo"),
        ] {
            assert_eq!(Route::parse(pattern).script_name(), name, "{pattern}");
        }
    }
}
