use std::path::PathBuf;

use thiserror::Error;
use url::Url;

/// The location of a module, from the key `module` of a modules.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleReference {
    /// A file. A relative path is relative to the working directory, as in WAGI.
    File(PathBuf),
    /// A module in a registry: `example.com:5000/name:tag`, or with a digest.
    Oci(String),
}

/// The reason why a module reference cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// A reference to a Bindle server. The Bindle project has ended.
    #[error(
        "`{0}` is on a Bindle server, which Headwater cannot read (the project has ended): fetch the \
         module once, with `bindle get` and the parcel of type application/wasm, and write its path; or \
         push it to an OCI registry (`oras push HOST/NAME:TAG \
         FILE:application/vnd.wasm.content.layer.v1+wasm`) and write `oci://HOST/NAME:TAG`"
    )]
    Bindle(String),
    /// A `file:` URL that does not name a file on this machine.
    #[error(
        "`{0}` does not name a file on this machine: write `file:///the/whole/path.wasm`, or a path"
    )]
    File(String),
    /// An `oci:` reference without a name.
    #[error("`{0}` has no name in it: write `oci://HOST/NAME:TAG`, or `oci:NAME:TAG`")]
    Oci(String),
    /// An unknown scheme.
    #[error("`{reference}` has the unknown scheme `{scheme}`: write a path, `file:` or `oci:`")]
    Scheme {
        /// The reference.
        reference: String,
        /// Its scheme.
        scheme: String,
    },
}

impl ModuleReference {
    /// Parses a reference. Text that is not a URL is a path.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is a URL that cannot be resolved.
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
