//! Limits interim responses (1xx).
//!
//! HTTP sets no limit (RFC 9110, 15.2), and hyper skips them: an upstream that sends nothing else would keep
//! a thread busy until the response is late. hyper reports those of HTTP/1 one by one, but none of HTTP/2, so
//! HEADERS frames are counted there.

use std::sync::atomic::{AtomicU32, Ordering};

use http::Request;
use hyper_util::client::legacy::connect::CaptureConnection;

use crate::EgressError;
use crate::connection::captured;
use crate::limits::MOST_INTERIM;

/// The number of header sections that an HTTP/2 upstream may still send. Each request adds the interim ones,
/// that of the response, and its trailers; unused ones may be used later, up to a limit.
#[derive(Debug)]
pub(crate) struct HeadersBudget {
    left: u32,
    /// The number of requests counted so far.
    requests: u64,
    /// The part of the current frame's header that has come.
    header: [u8; FRAME_HEADER],
    have: usize,
    /// Bytes until the next frame.
    skip: usize,
    exceeded: bool,
}

/// RFC 9113, 4.1: three bytes of length, one of type, one of flags, four of the stream.
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 0x01;

const EACH: u32 = MOST_INTERIM + 2;
/// As many as for a hundred concurrent requests, a common limit; reading them takes some milliseconds.
const MOST_LEFT: u32 = 100 * EACH;

/// Fails the connection if it gets too many interim responses to this request.
pub(crate) fn bound<B>(request: &mut Request<B>, connection: &CaptureConnection) {
    let (connection, seen) = (connection.clone(), AtomicU32::new(0));
    hyper::ext::on_informational(request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) >= MOST_INTERIM
            && let Some(lease) = captured(&connection)
        {
            lease.fail(EgressError::InterimResponses);
        }
    });
}

// === impl HeadersBudget ===

impl Default for HeadersBudget {
    fn default() -> Self {
        Self {
            left: EACH,
            requests: 0,
            header: [0; FRAME_HEADER],
            have: 0,
            skip: 0,
            exceeded: false,
        }
    }
}

impl HeadersBudget {
    /// Counts HEADERS frames in the bytes.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(FRAME_HEADER - self.have);
            if taken == 0 {
                return;
            }
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < FRAME_HEADER {
                return;
            }
            self.have = 0;
            let [high, middle, low, kind, ..] = self.header;
            self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind == HEADERS {
                match self.left.checked_sub(1) {
                    Some(left) => self.left = left,
                    None => self.exceeded = true,
                }
            }
        }
    }

    /// Adds the budget of new requests, and returns false if it was exceeded. `requests` is the total.
    pub(crate) fn suffice_for(&mut self, requests: u64) -> bool {
        let more = requests.saturating_sub(self.requests);
        self.requests = requests;
        let more = u32::try_from(more).unwrap_or(u32::MAX).saturating_mul(EACH);
        self.left = self.left.saturating_add(more).min(MOST_LEFT);
        !self.exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame whose payload, of this length, looks like headers of HEADERS frames.
    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.extend(vec![HEADERS; length.into()]);
        frame
    }

    #[test]
    fn headers_are_counted_wherever_reads_end_and_nothing_else_is() {
        let wire = [
            frame(0, 200),
            frame(HEADERS, 3),
            frame(4, 0),
            frame(HEADERS, 0),
        ]
        .concat();
        for piece in 1..wire.len() {
            let mut budget = HeadersBudget::default();
            wire.chunks(piece).for_each(|bytes| budget.count(bytes));
            assert_eq!(budget.left, EACH - 2, "{piece}");
        }
    }

    #[test]
    fn there_may_be_as_many_as_requests_make_and_what_is_saved_is_bounded() {
        let mut budget = HeadersBudget::default();
        let one = frame(HEADERS, 1);
        (0..EACH).for_each(|_| budget.count(&one));
        assert!(budget.suffice_for(0));
        assert!(budget.suffice_for(1));
        (0..EACH).for_each(|_| budget.count(&one));
        assert!(budget.suffice_for(1));
        budget.count(&one);
        assert!(!budget.suffice_for(1));

        let mut budget = HeadersBudget::default();
        assert!(budget.suffice_for(u64::MAX));
        (0..MOST_LEFT).for_each(|_| budget.count(&one));
        assert!(budget.suffice_for(u64::MAX));
        budget.count(&one);
        assert!(!budget.suffice_for(u64::MAX));
    }
}
