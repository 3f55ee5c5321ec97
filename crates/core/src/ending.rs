//! The end of a request's answer, to be checked or waited for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio_util::sync::CancellationToken;

/// A flag that something is over. Few wait for it, so the token is made on first use.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    over: AtomicBool,
    token: OnceLock<CancellationToken>,
}

// === impl Ending ===

impl Ending {
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        // Either this thread sees the token, or the thread that makes it sees the flag.
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Returns a token that is cancelled when it is over.
    pub(crate) fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        fence(Ordering::SeqCst);
        if self.is_over() {
            token.cancel();
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn whoever_asks_before_or_after_the_end_sees_it() {
        let before = Ending::default();
        let token = before.token().clone();
        assert!(!before.is_over() && !token.is_cancelled());
        before.end();
        assert!(before.is_over() && token.is_cancelled());

        let after = Ending::default();
        after.end();
        assert!(after.is_over() && after.token().is_cancelled());
    }

    #[test]
    fn whoever_asks_at_the_moment_of_the_end_sees_it() {
        for _ in 0..1_000 {
            let ending = Arc::new(Ending::default());
            let barrier = Arc::new(Barrier::new(2));
            let asks = std::thread::spawn({
                let (ending, barrier) = (Arc::clone(&ending), Arc::clone(&barrier));
                move || {
                    barrier.wait();
                    ending.token().clone()
                }
            });
            barrier.wait();
            ending.end();
            assert!(asks.join().unwrap().is_cancelled());
        }
    }
}
