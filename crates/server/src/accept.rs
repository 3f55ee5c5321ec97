//! What to do when `accept` fails.

use std::io;
use std::time::Duration;

/// The first wait, and the longest. Descriptors come free as requests end, in milliseconds; a second
/// keeps the log and the processor quiet when they do not.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait before the next `accept`, growing while it keeps failing.
#[derive(Debug)]
pub(crate) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// After a connection was accepted.
    pub(crate) fn succeeded(&mut self) {
        self.next = FIRST;
    }

    /// After an error: `None` means to go on at once.
    pub(crate) fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        if concerns_one_connection(error) {
            return None;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST);
        Some(wait)
    }
}

/// What Linux says of a connection that failed while it waited, or that a firewall does not let through:
/// it is taken from the queue by that (accept(2), "Error handling"). EPERM, ENONET, EPROTO, ENOPROTOOPT,
/// EOPNOTSUPP, ENETDOWN, ENETUNREACH, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
const OF_A_CONNECTION: [i32; 10] = [1, 64, 71, 92, 95, 100, 101, 110, 112, 113];

/// Whether the error is of a connection that ended while it waited, and not of the listener: the
/// next `accept` may well succeed, and others must not wait because one client's network fails.
/// Everything else (EMFILE, ENFILE, ENOBUFS, ENOMEM and what else a kernel may say) stays true for a
/// while, and trying again at once would spin.
fn concerns_one_connection(error: &io::Error) -> bool {
    let is_known = |number| OF_A_CONNECTION.contains(&number);
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    ) || cfg!(target_os = "linux") && error.raw_os_error().is_some_and(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux's numbers.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ECONNABORTED: i32 = 103;
    const EPROTO: i32 = 71;
    const EHOSTUNREACH: i32 = 113;

    #[test]
    fn a_machine_out_of_descriptors_is_waited_for_longer_each_time_up_to_a_second() {
        for number in [EMFILE, ENFILE, ENOBUFS] {
            let error = io::Error::from_raw_os_error(number);
            let mut back_off = BackOff::new();
            let waits: Vec<_> = (0..12).map_while(|_| back_off.failed(&error)).collect();
            assert_eq!(waits.len(), 12);
            assert!(waits.is_sorted());
            assert_eq!(waits[0], FIRST);
            assert_eq!(waits[11], LONGEST);
            back_off.succeeded();
            assert_eq!(back_off.failed(&error), Some(FIRST));
        }
    }

    #[test]
    fn a_connection_that_ended_in_the_queue_delays_nobody() {
        for number in [ECONNABORTED, EPROTO, EHOSTUNREACH] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(BackOff::new().failed(&error), None);
        }
    }
}
