//! How many lines of the audit log there are at most: a guest decides how often it does what they tell of, so those
//! beyond the bound are counted and left out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines of one kind of one service in one [`WINDOW`]: enough to see what a guest is up to, and no more than
/// 150 kB a minute.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Bounds the audit lines of one service. Cheap to clone; the clones share their bound.
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

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Write,
    LeaveOut {
        /// Whether it is the first, so that somebody has to tell of it when the window is over.
        first: bool,
    },
}

// === impl AuditBound ===

impl AuditBound {
    /// The bound of this service.
    #[must_use]
    pub fn new(service: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            service,
            window: Mutex::default(),
        }))
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// Whether one more line may be written. One that may not is counted, and told of.
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

    /// Tells how many lines were left out when the window is over, whether or not there is another.
    fn tell_later(&self) {
        // Without a runtime the next line or the end of the service tells.
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
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Tells of the lines that were left out and not told of yet.
    fn tell(&self) {
        let left_out = {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut window.left_out)
        };
        if left_out > 0 {
            tracing::warn!(
                target: "headwater::audit",
                parent: None,
                event = "left_out",
                service = &*self.service,
                left_out,
                "lines of the audit log were left out, so that a guest does not fill it"
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
        assert_eq!(audit.0.window.lock().unwrap().left_out, 2);
        audit.0.tell();
        assert_eq!(audit.0.window.lock().unwrap().left_out, 0);
    }
}
