//! The timeouts of an outgoing request's phases.

use std::time::Duration;

/// The timeouts of each phase: the defaults for the guest, and the maximum that it may ask for. One that the
/// clock cannot represent is forever.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Name resolution and connecting. Default: 10 seconds, which covers three retransmissions of a lost SYN
    /// (after 1, 3 and 7 seconds).
    pub connect: Duration,
    /// The TLS handshake. Default: 10 seconds, as for connecting: it takes as many round trips.
    pub tls_handshake: Duration,
    /// From the last byte of the request, or from the connection if it has no body, to the head of the
    /// response. Default: 60 seconds, as in common proxies. A slow upload is not the upstream's delay, and is
    /// limited by [`Timeouts::write`].
    pub first_byte: Duration,
    /// Between two parts of the response's body, while the guest waits for one. Default: 60 seconds.
    pub between_bytes: Duration,
    /// Between two parts of the request's body, whether the guest sends none or the upstream reads none.
    /// Default: 60 seconds, as in the other direction. The guest cannot change it: `request-options` have no
    /// field for it.
    pub write: Duration,
    /// From the call to the last byte of the response. Default: none, because a response may be a stream of
    /// any length, and the timeout of its request limits a guest that waits for a response.
    pub total: Option<Duration>,
}

/// The timeouts that a guest asks for (`request-options`), which can only be shorter than the [`Timeouts`];
/// `None` keeps those. Zero ends at once unless the result is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// The time until the request has a connection, including a wait for a place and the TLS handshake.
    pub connect_timeout: Option<Duration>,
    /// See [`Timeouts::first_byte`].
    pub first_byte_timeout: Option<Duration>,
    /// See [`Timeouts::between_bytes`].
    pub between_bytes_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    /// The time until the request has a connection.
    pub(crate) connection: Duration,
    pub(crate) first_byte: Duration,
    /// The part of it that the guest asked for.
    pub(crate) asked_first_byte: Option<Duration>,
    pub(crate) between_bytes: Duration,
    pub(crate) write: Duration,
    pub(crate) total: Option<Duration>,
}

// === impl Timeouts ===

impl Timeouts {
    /// Returns the timeouts of a request, given the guest's options and the longest wait for a place.
    pub(crate) fn phases(&self, asked: SendOptions, wait: Duration) -> Phases {
        let Self {
            connect,
            tls_handshake,
            first_byte,
            between_bytes,
            write,
            total,
        } = self;
        let SendOptions {
            connect_timeout,
            first_byte_timeout,
            between_bytes_timeout,
        } = asked;
        let within =
            |most: Duration, asked: Option<Duration>| asked.map_or(most, |asked| asked.min(most));
        let connection = wait.saturating_add(*connect).saturating_add(*tls_handshake);
        Phases {
            connection: within(connection, connect_timeout),
            first_byte: within(*first_byte, first_byte_timeout),
            asked_first_byte: first_byte_timeout,
            between_bytes: within(*between_bytes, between_bytes_timeout),
            write: *write,
            total: *total,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            write: Duration::from_secs(60),
            total: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_ask_for_less_and_not_for_more() {
        let timeouts = Timeouts::default();
        let asked = |timeout| SendOptions {
            connect_timeout: Some(timeout),
            first_byte_timeout: Some(timeout),
            between_bytes_timeout: Some(timeout),
        };
        let most = timeouts.phases(SendOptions::default(), Duration::ZERO);
        assert_eq!(most.connection, Duration::from_secs(20));
        for (timeout, granted) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_secs(1), Duration::from_secs(1)),
            (Duration::MAX, timeouts.first_byte),
        ] {
            let phases = timeouts.phases(asked(timeout), Duration::ZERO);
            assert_eq!(phases.first_byte, granted);
            assert_eq!(phases.between_bytes, granted);
            assert_eq!(phases.connection, granted.min(most.connection));
        }
        let endless = timeouts.phases(SendOptions::default(), Duration::MAX);
        assert_eq!(endless.connection, Duration::MAX);
    }
}
