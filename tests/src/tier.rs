//! The two tiers of tests: those that `cargo xtask test` runs in minutes, and what
//! `cargo xtask test --all` adds.
//!
//! A test that takes long to prove much is in both, smaller in the first. None is omitted.

use std::env;

/// The variable that `cargo xtask test --all` sets to any value.
pub const VARIABLE: &str = "HEADWATER_TEST_ALL";

/// Returns `small` in the first tier, `full` in the second.
pub fn by_tier<T>(small: T, full: T) -> T {
    match env::var_os(VARIABLE) {
        Some(_) => full,
        None => small,
    }
}
