//! Instruments that are bound to attributes, kept by each thread.
//!
//! For each measurement the SDK finds the aggregate by hashing all attributes, most of which are text. A request
//! makes four, and nearly all requests have the attributes of an earlier one. So a thread keeps the aggregates
//! that it used, by the addresses of its services and routes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

/// The most entries of each kind in a thread. When there are as many, all are deleted, and with them those of services
/// that reloads removed.
const MOST: usize = 256;

/// The bound instruments of a thread. A value must own the texts whose addresses are in its key, so that no other text
/// gets their addresses.
pub(super) type Kept<K, B> = RefCell<HashMap<K, B>>;

/// The number of these instruments: the instruments of another meter may have the same address later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Number(u64);

/// The address of a text. All empty texts have the same one, as nothing needs to own them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Address(usize);

impl Number {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Address {
    pub(super) fn of(text: &Arc<str>) -> Self {
        match text.is_empty() {
            true => Self(0),
            false => Self(Arc::as_ptr(text).addr()),
        }
    }
}

/// Passes the thread's entry for the key to `with`, and makes the entry first if there is none.
pub(super) fn with_kept<K: Hash + Eq, B, R>(
    of: &'static LocalKey<Kept<K, B>>,
    key: K,
    make: impl FnOnce() -> B,
    with: impl FnOnce(&B) -> R,
) -> R {
    of.with_borrow_mut(|kept| {
        if kept.len() >= MOST && !kept.contains_key(&key) {
            kept.clear();
        }
        with(kept.entry(key).or_insert_with(make))
    })
}
