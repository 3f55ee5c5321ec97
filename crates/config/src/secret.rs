use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use headwater_core::REDACTED;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The source of a secret.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum SecretSource {
    /// A file, relative to the configuration. A line break at its end is not part of the secret.
    File(PathBuf),
    /// A variable in the host's own environment.
    Env(String),
}

/// A value that is never printed or logged; `<redacted>` stands in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The error for a secret that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read, or is not text.
    #[error("the secret `{name}` cannot be read from `{}`: {source}: {}", path.display(), remedy(source))]
    File {
        /// The variable that the secret is for.
        name: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The variable is not set, or is not text.
    #[error(
        "the secret `{name}` is read from the variable `{variable}`, which is not set, or not text: set it for the host"
    )]
    Env {
        /// The variable that the secret is for.
        name: String,
        /// The host's variable.
        variable: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidData => {
            "variables hold text: encode it, for example as Base64, and decode it in the guest"
        }
        _ => "check the path and its permissions",
    }
}

/// The source of a secret as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<PathBuf>,
    env: Option<String>,
}

// === impl SecretSource ===

/// A flag names a file. It must not hold the secret itself, because the list of processes would
/// show it.
impl FromStr for SecretSource {
    type Err = Infallible;

    fn from_str(path: &str) -> Result<Self, Infallible> {
        Ok(Self::File(path.into()))
    }
}

// A derived enum would show text in its place as an unknown name.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "where the secret is read from: `{ file = \"PATH\" }` or `{ env = \"VARIABLE\" }`",
                )
            }

            fn visit_str<E: Error>(self, _secret: &str) -> Result<SecretSource, E> {
                Err(E::invalid_type(Unexpected::Other("text"), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<SecretSource, A::Error> {
                let said = Written::deserialize(MapAccessDeserializer::new(table))?;
                match (said.file, said.env) {
                    (Some(file), None) => Ok(SecretSource::File(file)),
                    (None, Some(variable)) => Ok(SecretSource::Env(variable)),
                    (None, None) => Err(A::Error::invalid_value(
                        Unexpected::Other("an empty table"),
                        &self,
                    )),
                    (Some(_), Some(_)) => {
                        Err(A::Error::invalid_value(Unexpected::Other("both"), &self))
                    }
                }
            }
        }
        deserializer.deserialize_any(Table)
    }
}

impl SecretSource {
    /// Reads the secret for the variable `name`.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret cannot be read.
    pub fn read(&self, name: &str) -> Result<Secret, SecretError> {
        let text = match self {
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|source| SecretError::File {
                    name: name.to_owned(),
                    path: path.clone(),
                    source,
                })?
            }
            Self::Env(variable) => std::env::var(variable).map_err(|_| SecretError::Env {
                name: name.to_owned(),
                variable: variable.clone(),
            })?,
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Secret(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }

    /// Returns the file that holds the secret, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Returns the environment variable that holds the secret, if there is one.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Env(variable) => Some(variable),
        }
    }

    /// Resolves the path of a file against `folder`.
    pub fn within(&mut self, folder: &Path) {
        if let Self::File(path) = self {
            *path = folder.join(&*path);
        }
    }

    pub(crate) fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }
}

// === impl Secret ===

impl Secret {
    /// Returns the value itself, which only the guest may see.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_the_file_holds_and_is_never_shown() {
        let folder = std::env::temp_dir().join(format!("headwater-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("key"), "s3cret \r\n").unwrap();
        let secret = SecretSource::File(folder.join("key")).read("KEY").unwrap();
        assert_eq!(secret.reveal(), "s3cret ");
        assert_eq!(format!("{secret:?}"), "<redacted>");
        let error = SecretSource::File(folder.join("none"))
            .read("KEY")
            .unwrap_err();
        assert!(error.to_string().contains("`KEY`") && error.to_string().contains("none"));
        std::fs::write(folder.join("binary"), [0xff]).unwrap();
        let binary = SecretSource::File(folder.join("binary")).read("KEY");
        let told = binary.unwrap_err().to_string();
        assert!(
            told.contains("UTF-8: variables") && told.contains("Base64"),
            "{told}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let source = SecretSource::Env("HEADWATER_TEST_NOT_SET".to_owned());
        let error = source.read("KEY").unwrap_err().to_string();
        assert!(
            error.contains("`KEY`") && error.contains("HEADWATER_TEST_NOT_SET"),
            "{error}"
        );
    }
}
