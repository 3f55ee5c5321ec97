//! The place where a service's grants are written, for messages about adding one.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::Grants;
use crate::grants::Grant;

/// The place where the grants of a service are written, which denials name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantSource {
    /// `--allow-outgoing`, for the guest of a command line. The default.
    #[default]
    Flag,
    /// `allow_outgoing` of the service in this file.
    File(Arc<Path>),
    /// `allowed_hosts` of the module in this file.
    ModulesFile(Arc<Path>),
}

/// A line with more grants is not repeated.
const MOST: usize = 5;

// === impl GrantSource ===

impl GrantSource {
    /// Returns the text to write to give the service one more grant.
    pub(crate) fn remedy(&self, service: &str, grants: &Grants, more: &Grant) -> String {
        match self {
            Self::Flag => format!("--allow-outgoing {more}"),
            Self::File(path) => {
                let place = format!("for the service `{service}` in `{}`", path.display());
                if grants.iter().count() > MOST {
                    return format!("\"{more}\" in the list `allow_outgoing` {place}");
                }
                let mut line = "allow_outgoing = [".to_owned();
                for grant in grants.iter() {
                    // Writing to a string does not fail.
                    let _ = write!(line, "\"{grant}\", ");
                }
                format!("`{line}\"{more}\"]` {place}")
            }
            Self::ModulesFile(path) => format!(
                "\"{more}\" in the list `allowed_hosts` for the module `{service}` in `{}`",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(source: &GrantSource, grants: &[&str]) -> String {
        let grants = Grants::parse(grants).unwrap();
        let more = "http://127.0.0.1:9000".parse().unwrap();
        source.remedy("shop", &grants, &more)
    }

    #[test]
    fn a_remedy_is_what_to_write_where_the_grants_are() {
        assert_eq!(
            remedy(&GrantSource::Flag, &["a.example"]),
            "--allow-outgoing http://127.0.0.1:9000"
        );
        let file = GrantSource::File(Path::new("h.toml").into());
        assert_eq!(
            remedy(&file, &[]),
            "`allow_outgoing = [\"http://127.0.0.1:9000\"]` for the service `shop` in `h.toml`"
        );
        assert_eq!(
            remedy(&file, &["https://a.example", "*.b.example:81"]),
            "`allow_outgoing = [\"https://a.example\", \"*.b.example:81\", \"http://127.0.0.1:9000\"]` \
             for the service `shop` in `h.toml`"
        );
        assert_eq!(
            remedy(&file, &["a.example"; MOST + 1]),
            "\"http://127.0.0.1:9000\" in the list `allow_outgoing` for the service `shop` in `h.toml`"
        );
        let modules = GrantSource::ModulesFile(Path::new("m.toml").into());
        assert_eq!(
            remedy(&modules, &["a.example"]),
            "\"http://127.0.0.1:9000\" in the list `allowed_hosts` for the module `shop` in `m.toml`"
        );
    }
}
