//! The format of a file: a mark, the key, the checksum, and the code.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// The first bytes of a file, with the version of the format.
const MARK: &[u8; 8] = b"hwcode\x00\x01";

const DIGEST: usize = 32;

const HEADER: usize = MARK.len() + 2 * DIGEST;

/// The name of a guest's code: a hash of the guest's binary and of wasmtime's version, settings and
/// target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key([u8; DIGEST]);

/// Code whose checksum was verified. Only [`VerifiedCode::open`] makes one.
#[derive(Debug)]
pub(super) struct VerifiedCode {
    /// With its header: copying the code out would cost as much as reading the file.
    file: Vec<u8>,
}

/// A file's content is not the code that was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its content is not what was written to it")]
pub(super) struct Damaged;

// === impl Key ===

impl Key {
    pub(super) fn new(engine: &wasmtime::Engine, kind: &str, binary: &[u8]) -> Self {
        let mut hasher = KeyHasher(Sha256::new());
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
struct KeyHasher(Sha256);

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
    /// Splits a file's content into header and code.
    ///
    /// # Errors
    ///
    /// Returns an error if the content differs in any bit from the [`header`] and code written for
    /// this key.
    pub(super) fn open(key: &Key, file: Vec<u8>) -> Result<Self, Damaged> {
        let (head, code) = file.split_at_checked(HEADER).ok_or(Damaged)?;
        match *head == header(key, code) {
            true => Ok(Self { file }),
            false => Err(Damaged),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.file[HEADER..]
    }
}

/// Returns the header that precedes the code in its file.
pub(super) fn header(key: &Key, code: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let (mark, digests) = header.split_at_mut(MARK.len());
    let (named, checksum) = digests.split_at_mut(DIGEST);
    mark.copy_from_slice(MARK);
    named.copy_from_slice(&key.0);
    checksum.copy_from_slice(&Sha256::digest(code));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(key: &Key, code: &[u8]) -> Vec<u8> {
        [&header(key, code)[..], code].concat()
    }

    #[test]
    fn content_in_which_any_bit_was_flipped_or_any_byte_is_missing_is_refused() {
        let key = Key([7; DIGEST]);
        let whole = file(&key, b"some code");
        assert_eq!(
            VerifiedCode::open(&key, whole.clone()).unwrap().bytes(),
            b"some code"
        );
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(VerifiedCode::open(&key, flipped).unwrap_err(), Damaged);
        }
        for length in 0..whole.len() {
            let cut = whole[..length].to_vec();
            assert_eq!(VerifiedCode::open(&key, cut).unwrap_err(), Damaged);
        }
        let longer = [&whole[..], b"\0"].concat();
        assert_eq!(VerifiedCode::open(&key, longer).unwrap_err(), Damaged);
    }

    #[test]
    fn another_guest_s_code_is_refused() {
        let (key, other) = (Key([7; DIGEST]), Key([8; DIGEST]));
        let swapped = file(&other, b"some code");
        assert_eq!(VerifiedCode::open(&key, swapped).unwrap_err(), Damaged);
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
