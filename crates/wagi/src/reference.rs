use std::path::PathBuf;

use thiserror::Error;
use url::Url;

/// Where a module is, as the key `module` of a modules.toml says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleReference {
    /// A file; if it is relative, to the working directory, as in WAGI.
    File(PathBuf),
    /// In a registry: `example.com:5000/name:tag`, or with a digest.
    Oci(String),
}

/// Why a reference to a module cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Bindle is no more.
    #[error(
        "`{0}` is in a Bindle server, which Headwater does not read (the project has ended): fetch the \
         module once, with `bindle get` and the parcel of type application/wasm, and write its path; or \
         push it to an OCI registry (`oras push HOST/NAME:TAG \
         FILE:application/vnd.wasm.content.layer.v1+wasm`) and write `oci://HOST/NAME:TAG`"
    )]
    Bindle(String),
    /// A `file:` that names no file of this machine.
    #[error("`{0}` names no file of this machine: write `file:///the/whole/path.wasm`, or a path")]
    File(String),
    /// No name in it.
    #[error("`{0}` names nothing: write `oci://HOST/NAME:TAG`, or `oci:NAME:TAG`")]
    Oci(String),
    /// A scheme that there is none of.
    #[error(
        "`{reference}` is of the scheme `{scheme}`, which is not known: write a path, `file:` or `oci:`"
    )]
    Scheme {
        /// The reference.
        reference: String,
        /// Its scheme.
        scheme: String,
    },
}

impl ModuleReference {
    /// Reads a reference. What is no URL is a path.
    ///
    /// # Errors
    ///
    /// When it is a URL that cannot be followed.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let Ok(url) = Url::parse(text) else {
            return Ok(Self::File(text.into()));
        };
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::File)
                .map_err(|()| ReferenceError::File(text.to_owned())),
            "oci" => {
                let name = url.path().trim_start_matches('/');
                if name.is_empty() {
                    return Err(ReferenceError::Oci(text.to_owned()));
                }
                let port = url
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                Ok(Self::Oci(match url.host_str() {
                    Some(host) => format!("{host}{port}/{name}"),
                    None => name.to_owned(),
                }))
            }
            "bindle" | "parcel" => Err(ReferenceError::Bindle(text.to_owned())),
            scheme => Err(ReferenceError::Scheme {
                reference: text.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_a_path_and_a_file_url_is_one_too() {
        for (text, path) in [
            ("hello.wasm", "hello.wasm"),
            ("./a/hello.wasm", "./a/hello.wasm"),
            ("/abs/hello.wat", "/abs/hello.wat"),
            ("file:///abs/a%20b.wasm", "/abs/a b.wasm"),
            ("file:/abs/x.wasm", "/abs/x.wasm"),
            ("file://localhost/abs/x.wasm", "/abs/x.wasm"),
        ] {
            assert_eq!(
                ModuleReference::parse(text),
                Ok(ModuleReference::File(path.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_followed_is_told_with_what_to_do() {
        for (text, remedy) in [
            ("bindle:example/hello/1.0.0", "oras push"),
            ("parcel:abc", "oras push"),
            ("file://elsewhere/x.wasm", "file:///"),
            ("https://example.com/x.wasm", "`https`"),
            ("oci:", "oci://HOST/NAME:TAG"),
        ] {
            let error = ModuleReference::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains(remedy), "{error}");
        }
    }
}
