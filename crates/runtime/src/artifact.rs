use std::path::Path;

use wasmtime::wasmparser::Parser;

/// A file given to `headwater serve`, recognised by its content and not by its name.
#[derive(Debug)]
pub enum Artifact {
    /// A component, in binary form.
    Component(Vec<u8>),
    /// A core module, in binary form.
    Module(Vec<u8>),
    /// Configuration.
    Toml(String),
}

/// The reason why a file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file could not be read.
    #[error("cannot read it: {0}; check the path and its permissions")]
    Unreadable(std::io::Error),
    /// The file has no bytes.
    #[error("the file is empty; a component, a core module or a TOML file was expected")]
    Empty,
    /// The file starts as WebAssembly and continues as something unknown.
    #[error(
        "it starts as WebAssembly but has an unknown version ({0}); a component or a core module of \
         version 1 was expected: build it again with a current toolchain"
    )]
    Version(String),
    /// WebAssembly in text form that does not parse.
    #[error("the WebAssembly text does not parse: {0}")]
    Text(String),
    /// A wasmCloud manifest.
    #[error(
        "it is a wasmCloud manifest (wadm), which Headwater does not read: serve the component that \
         its `image` names, from a file"
    )]
    Wadm,
    /// Neither WebAssembly nor text.
    #[error(
        "it is neither WebAssembly nor TOML; a component (0.3 or 0.2), a core module (WAGI) or a \
         headwater.toml was expected"
    )]
    Foreign,
}

impl Artifact {
    /// Reads a file and recognises its kind.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or its kind cannot be served. WebAssembly is
    /// validated later, when it is loaded.
    pub fn read(path: &Path) -> Result<Self, ArtifactError> {
        Self::recognise(std::fs::read(path).map_err(ArtifactError::Unreadable)?)
    }

    /// Recognises the kind of these bytes.
    ///
    /// # Errors
    ///
    /// As for [`Artifact::read`].
    pub fn recognise(bytes: Vec<u8>) -> Result<Self, ArtifactError> {
        if bytes.is_empty() {
            return Err(ArtifactError::Empty);
        }
        if bytes.starts_with(b"\0asm") {
            return Self::from_binary(bytes);
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(ArtifactError::Foreign);
        };
        if is_webassembly_text(&text) {
            let binary =
                wat::parse_str(&text).map_err(|error| ArtifactError::Text(error.to_string()))?;
            return Self::from_binary(binary);
        }
        if is_wadm(&text) {
            return Err(ArtifactError::Wadm);
        }
        // The configuration checks the TOML and reports the line. Here it is enough to tell TOML
        // from text that was never meant to be TOML.
        if text.lines().any(|line| {
            let line = line.trim();
            line.starts_with('[') || line.starts_with('#') || line.contains('=')
        }) {
            return Ok(Self::Toml(text));
        }
        Err(ArtifactError::Foreign)
    }

    fn from_binary(bytes: Vec<u8>) -> Result<Self, ArtifactError> {
        if Parser::is_component(&bytes) {
            Ok(Self::Component(bytes))
        } else if Parser::is_core_wasm(&bytes) {
            Ok(Self::Module(bytes))
        } else {
            let version = bytes.get(4..8).map_or_else(
                || "the file ends within its header".to_owned(),
                |version| format!("header bytes {version:02x?}"),
            );
            Err(ArtifactError::Version(version))
        }
    }
}

/// Returns true if the text is a manifest of the Open Application Model, such as wasmCloud's.
fn is_wadm(text: &str) -> bool {
    text.lines().any(|line| {
        let version = line.trim_start().strip_prefix("apiVersion:");
        version.is_some_and(|version| version.trim_start().starts_with("core.oam.dev/"))
    })
}

/// Returns true if the text is WebAssembly: its first token after comments is `(module` or
/// `(component`.
fn is_webassembly_text(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix(";;") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("(;") {
            rest = comment.split_once(";)").map_or("", |(_, rest)| rest);
        } else {
            break;
        }
        rest = rest.trim_start();
    }
    rest.strip_prefix('(')
        .map(str::trim_start)
        .is_some_and(|rest| rest.starts_with("module") || rest.starts_with("component"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognised_by_its_content() {
        let recognise = |bytes: &[u8]| Artifact::recognise(bytes.to_vec());
        assert!(matches!(
            recognise(b"\0asm\x01\0\0\0"),
            Ok(Artifact::Module(_))
        ));
        assert!(matches!(
            recognise(b"\0asm\x0d\0\x01\0"),
            Ok(Artifact::Component(_))
        ));
        assert!(matches!(
            recognise(b";; legacy\n(; two ;) (module)"),
            Ok(Artifact::Module(_))
        ));
        assert!(matches!(
            recognise(b"(component)"),
            Ok(Artifact::Component(_))
        ));
        assert!(matches!(
            recognise(b"# services\n[[service]]\n"),
            Ok(Artifact::Toml(_))
        ));
        assert!(matches!(recognise(b"# empty\n"), Ok(Artifact::Toml(_))));
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_what_was_expected() {
        let refuse = |bytes: &[u8]| Artifact::recognise(bytes.to_vec()).unwrap_err();
        assert!(matches!(refuse(b""), ArtifactError::Empty));
        assert!(matches!(refuse(b"\0asm"), ArtifactError::Version(_)));
        assert!(matches!(
            refuse(b"\0asm\x63\0\0\0"),
            ArtifactError::Version(_)
        ));
        assert!(matches!(
            refuse(b"\x89PNG\r\n\x1a\n\0\0\0\xff"),
            ArtifactError::Foreign
        ));
        assert!(matches!(refuse(b"hello world"), ArtifactError::Foreign));
        let wadm = "# A manifest\napiVersion: core.oam.dev/v1beta1\nkind: Application\n";
        assert!(matches!(refuse(wadm.as_bytes()), ArtifactError::Wadm));
        let text = refuse(b"(module (func $f)\n (oops))");
        assert!(text.to_string().contains(":2:"), "names the line: {text}");
    }
}
