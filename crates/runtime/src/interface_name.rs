//! Names of interfaces, such as `wasi:http/types@0.3.2`.

/// The name of an interface, with its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InterfaceName<'a> {
    /// Such as `wasi:http/types`.
    pub(crate) interface: &'a str,
    pub(crate) version: Option<&'a str>,
}

/// The WASI packages that Headwater offers, in versions 0.2 and 0.3 as far as they exist.
pub(crate) const RELEASED: [&str; 7] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

impl<'a> InterfaceName<'a> {
    pub(crate) fn parse(name: &'a str) -> Self {
        match name.split_once('@') {
            Some((interface, version)) => Self {
                interface,
                version: Some(version),
            },
            None => Self {
                interface: name,
                version: None,
            },
        }
    }

    /// Returns the package, such as `wasi:http`. None if the name is not an interface's.
    pub(crate) fn package(self) -> Option<&'a str> {
        let (package, _) = self.interface.split_once('/')?;
        package.contains(':').then_some(package)
    }

    /// Returns the version if it is a release candidate of an interface that Headwater offers as
    /// released. Drafts of others, such as `wasi:nn`, have no release.
    pub(crate) fn release_candidate(self) -> Option<&'a str> {
        let is_offered = self.package().is_some_and(|it| RELEASED.contains(&it));
        self.version
            .filter(|version| is_offered && version.contains("-rc"))
    }

    /// Returns true if this version links to that one: both are of the same major version, or of the
    /// same minor version of 0. A pre-release links only to itself.
    pub(crate) fn is_compatible(self, version: &str) -> bool {
        match self.version {
            Some(own) if own == version => true,
            Some(own) => track(own).is_some_and(|own| track(version) == Some(own)),
            None => false,
        }
    }
}

/// Returns the part that all versions that link to each other have in common.
fn track(version: &str) -> Option<&str> {
    let release = version.split('+').next()?;
    if release.contains('-') {
        return None;
    }
    let (major, rest) = release.split_once('.')?;
    if major != "0" {
        return Some(major);
    }
    let (minor, _) = rest.split_once('.')?;
    // `0.0.x` links only to itself.
    (minor != "0").then(|| &release[..major.len() + 1 + minor.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_package_and_a_version() {
        let name = InterfaceName::parse("wasi:http/types@0.3.2");
        assert_eq!(name.interface, "wasi:http/types");
        assert_eq!(name.version, Some("0.3.2"));
        assert_eq!(name.package(), Some("wasi:http"));
        let name = InterfaceName::parse("log");
        assert_eq!((name.package(), name.version), (None, None));
        assert_eq!(InterfaceName::parse("env/log").package(), None);
    }

    #[test]
    fn versions_link_within_what_semantic_versioning_calls_compatible() {
        for (own, other, compatible) in [
            ("0.2.3", "0.2.12", true),
            ("0.2.3", "0.3.0", false),
            ("1.0.0", "1.9.2", true),
            ("1.0.0", "2.0.0", false),
            ("0.0.1", "0.0.2", false),
            ("0.2.0-draft", "0.2.0", false),
            ("0.2.0-draft", "0.2.0-draft", true),
            ("0.3.0-rc-2026-01-06", "0.3.0", false),
            ("latest", "0.3.0", false),
        ] {
            let name = format!("a:b/c@{own}");
            let name = InterfaceName::parse(&name);
            assert_eq!(name.is_compatible(other), compatible, "{own} {other}");
        }
    }

    #[test]
    fn a_release_candidate_is_told_from_other_drafts() {
        let of = |name| InterfaceName::parse(name).release_candidate();
        let candidate = "0.3.0-rc-2025-09-16";
        assert_eq!(of("wasi:http/types@0.3.0-rc-2025-09-16"), Some(candidate));
        let candidate = "0.2.0-rc-2023-11-10";
        assert_eq!(of("wasi:io/streams@0.2.0-rc-2023-11-10"), Some(candidate));
        for draft in [
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:config/store@0.2.0-rc.1",
            "wasi:nn/graph@0.2.0-rc-2024-10-28",
            "my:own/x@0.1.0-rc.1",
        ] {
            assert_eq!(of(draft), None, "{draft}");
        }
        assert_eq!(of("wasi:http/types@0.3.0"), None);
    }
}
