//! Waits after `accept` has failed.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// The first and longest wait. Descriptors come free in milliseconds; a second spares log and processor.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// The wait before the next `accept`, which grows while `accept` keeps failing.
#[derive(Debug)]
pub(crate) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn succeeded(&mut self) {
        self.next = FIRST;
    }

    /// Returns the wait after an error; `None` means to retry at once.
    pub(crate) fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        if concerns_one_connection(error) {
            return None;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST);
        Some(wait)
    }
}

/// Errors of a connection that failed while it was queued, or that a firewall rejects. `accept` removes that
/// connection from the queue (accept(2), "Error handling").
#[cfg(target_os = "linux")]
const OF_A_CONNECTION: [Errno; 10] = [
    Errno::PERM,
    Errno::NONET,
    Errno::PROTO,
    Errno::NOPROTOOPT,
    Errno::OPNOTSUPP,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::TIMEDOUT,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
];
#[cfg(not(target_os = "linux"))]
const OF_A_CONNECTION: [Errno; 0] = [];

/// Returns true if the error concerns one connection that ended while it was queued: the next `accept` may
/// succeed, and other clients must not wait because of one. All other errors (EMFILE, ENFILE, ENOBUFS, ENOMEM
/// and others) persist for a while, and retrying at once would spin.
fn concerns_one_connection(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    ) || errno.is_some_and(|errno| OF_A_CONNECTION.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_out_of_descriptors_is_waited_for_longer_each_time_up_to_a_second() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS] {
            let error = io::Error::from(errno);
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
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::HOSTUNREACH] {
            let error = io::Error::from(errno);
            assert_eq!(BackOff::new().failed(&error), None);
        }
    }
}
