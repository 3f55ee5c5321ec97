//! The format of a file: the code, a mark, the key, and the checksum.
//!
//! The code comes first, so that wasmtime can map the file.

use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::PathBuf;

use blake3::Hasher as Blake3;

/// The first bytes behind the code, with the version of the format.
pub(super) const MARK: &[u8; 8] = b"hwcode\x00\x02";

const DIGEST: usize = blake3::OUT_LEN;

const TRAILER: usize = MARK.len() + 2 * DIGEST;

/// The name of a guest's code: a hash of the guest's binary and of wasmtime's version, settings and
/// target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; DIGEST]);

/// A file of code whose checksum was verified. Only [`VerifiedCode::open`] makes one.
#[derive(Debug)]
pub(super) struct VerifiedCode {
    file: File,
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("its content is not what was written to it")]
    Damaged,
}

// === impl Key ===

impl Key {
    pub(super) fn new(engine: &wasmtime::Engine, kind: &str, binary: &[u8]) -> Self {
        let mut hasher = KeyHasher::default();
        kind.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.write(binary);
        Self(hasher.0.finalize().into())
    }

    pub(super) fn is_name(text: &str) -> bool {
        text.len() == 2 * DIGEST && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Collects the data that wasmtime hashes.
#[derive(Default)]
pub(super) struct KeyHasher(Blake3);

// === impl KeyHasher ===

impl KeyHasher {
    /// Returns the whole digest, in hexadecimal.
    pub(super) fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // No `Hash` implementation asks for it. A key is the whole digest.
        0
    }
}

// === impl VerifiedCode ===

impl VerifiedCode {
    /// Reads the file, which has this path, to its end.
    ///
    /// # Errors
    ///
    /// Returns an error if the content differs in any bit from the code and the [`trailer`] written for
    /// this key.
    pub(super) fn open(key: &Key, mut file: File, path: PathBuf) -> Result<Self, Unusable> {
        let length = file.metadata()?.len().checked_sub(TRAILER as u64);
        let mut code = (&mut file).take(length.ok_or(Unusable::Damaged)?);
        let mut checksum = Blake3::new();
        checksum.update_reader(&mut code)?;
        let mut found = Vec::with_capacity(TRAILER);
        file.read_to_end(&mut found)?;
        match *found == trailer_of(key, &checksum) {
            true => Ok(Self { file, path }),
            false => Err(Unusable::Damaged),
        }
    }

    /// Returns a path of the verified file, even if another file has its name by now.
    pub(super) fn path(&self) -> PathBuf {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            if std::fs::exists(&path).unwrap_or(false) {
                return path.into();
            }
        }
        self.path.clone()
    }
}

/// Returns what follows the code in its file.
pub(super) fn trailer(key: &Key, code: &[u8]) -> [u8; TRAILER] {
    trailer_of(key, Blake3::new().update(code))
}

fn trailer_of(key: &Key, checksum: &Blake3) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    let (mark, digests) = trailer.split_at_mut(MARK.len());
    let (named, sum) = digests.split_at_mut(DIGEST);
    mark.copy_from_slice(MARK);
    named.copy_from_slice(&key.0);
    sum.copy_from_slice(checksum.finalize().as_bytes());
    trailer
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn file(key: &Key, code: &[u8]) -> Vec<u8> {
        [code, &trailer(key, code)[..]].concat()
    }

    fn is_damaged(key: &Key, content: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        match VerifiedCode::open(key, file, PathBuf::new()) {
            Ok(_) => false,
            Err(Unusable::Damaged) => true,
            Err(Unusable::Unreadable(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn content_in_which_any_bit_was_flipped_or_any_byte_is_missing_is_refused() {
        let key = Key([7; DIGEST]);
        let whole = file(&key, b"some code");
        assert!(!is_damaged(&key, &whole));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&key, &flipped));
        }
        for length in 0..whole.len() {
            assert!(is_damaged(&key, &whole[..length]));
        }
        let longer = [&whole[..], b"\0"].concat();
        assert!(is_damaged(&key, &longer));
    }

    #[test]
    fn another_guest_s_code_is_refused() {
        let (key, other) = (Key([7; DIGEST]), Key([8; DIGEST]));
        let swapped = file(&other, b"some code");
        assert!(is_damaged(&key, &swapped));
    }

    #[test]
    fn what_decides_the_code_decides_the_key() {
        let engine = |cow| {
            let mut config = wasmtime::Config::new();
            config.memory_init_cow(cow);
            wasmtime::Engine::new(&config).unwrap()
        };
        let key = Key::new(&engine(true), "module", b"binary");
        assert_eq!(key, Key::new(&engine(true), "module", b"binary"));
        assert_ne!(key, Key::new(&engine(false), "module", b"binary"));
        assert_ne!(key, Key::new(&engine(true), "component", b"binary"));
        assert_ne!(key, Key::new(&engine(true), "module", b"binarz"));
    }
}
