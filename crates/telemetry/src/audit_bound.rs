//! A limit on the rate of audit log lines. A guest decides how often it causes one, so lines beyond the limit
//! are only counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The number of lines of one kind and service in one [`WINDOW`]: enough to see what a guest does, and at
/// most 150 kB a minute.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Limits the audit lines of one service. Cheap to clone; the clones share their limit.
#[derive(Debug, Clone)]
pub struct AuditBound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Arc<str>,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Write,
    LeaveOut {
        /// True for the first: the caller must schedule the report.
        first: bool,
    },
}

// === impl AuditBound ===

impl AuditBound {
    /// Creates the limit of this service.
    #[must_use]
    pub fn new(service: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            service,
            window: Mutex::default(),
        }))
    }

    /// Returns the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// Returns true if one more line may be written. Otherwise the line is counted and reported later.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self.0.turn(Instant::now()) {
            Turn::Write => true,
            Turn::LeaveOut { first } => {
                if first {
                    self.tell_later();
                }
                false
            }
        }
    }

    fn tell_later(&self) {
        // Without a runtime, the drop of this limit reports them.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let inner = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            tokio::time::sleep(WINDOW).await;
            if let Some(inner) = inner.upgrade() {
                inner.tell();
            }
        });
    }
}

// === impl Inner ===

impl Inner {
    fn turn(&self, now: Instant) -> Turn {
        let mut window = self.window.lock();
        let is_over = window
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= WINDOW);
        if is_over {
            window.began = Some(now);
            window.written = 0;
        }
        if window.written < MOST {
            window.written += 1;
            return Turn::Write;
        }
        window.left_out += 1;
        Turn::LeaveOut {
            first: window.left_out == 1,
        }
    }

    fn tell(&self) {
        let left_out = {
            let mut window = self.window.lock();
            std::mem::take(&mut window.left_out)
        };
        if left_out > 0 {
            tracing::warn!(
                target: "headwater::audit",
                parent: None,
                event = "left_out",
                service = &*self.service,
                left_out,
                "audit log lines were dropped to keep a guest from filling the log"
            );
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_bounded_number_of_lines_and_the_rest_is_counted() {
        let audit = AuditBound::new("test".into());
        let start = Instant::now();
        for _ in 0..MOST {
            assert_eq!(audit.0.turn(start), Turn::Write);
        }
        assert_eq!(audit.0.turn(start), Turn::LeaveOut { first: true });
        assert_eq!(audit.0.turn(start), Turn::LeaveOut { first: false });
        assert_eq!(audit.0.turn(start + WINDOW), Turn::Write);
        assert_eq!(audit.0.window.lock().left_out, 2);
        audit.0.tell();
        assert_eq!(audit.0.window.lock().left_out, 0);
    }
}
