//! The two tiers of tests: what `cargo xtask test` runs in minutes, and what `cargo xtask test --all` adds.
//!
//! A test that needs long to prove much exists in both, smaller in the first. None is left out.

use std::env;

/// Set to anything by `cargo xtask test --all`.
pub const VARIABLE: &str = "HEADWATER_TEST_ALL";

/// `small` in the first tier, `full` in the second.
pub fn by_tier<T>(small: T, full: T) -> T {
    match env::var_os(VARIABLE) {
        Some(_) => full,
        None => small,
    }
}
