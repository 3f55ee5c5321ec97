//! Detection of requests that loop through this host.
//!
//! A service that calls itself, or two that call each other, would go on for ever, and each round would hold
//! an instance. `CDN-Loop` (RFC 8586) prevents that: every outgoing request names this host, after the hosts
//! that its own request came through. Guests cannot set it.

use std::fmt;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::{Fault, RequestId};

/// The field that lists the hosts that a request came through (RFC 8586).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The field by which a host says that it answered itself, and why (RFC 9209).
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// RFC 9209, 2.3.22.
const LOOP_DETECTED: &str = "proxy_loop_detected";

/// The longest chain that is passed on, in bytes: room for a hundred hosts. A longer one counts as a loop,
/// even if this host is not in it.
const MAX_CHAIN: usize = 4 << 10;
/// The longest id of a host, in bytes. Each hop of a chain repeats it.
const MAX_ID: usize = 64;

/// The hosts that a request came through before this one. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hops {
    /// The value of `CDN-Loop`, with several fields joined.
    chain: Option<HeaderValue>,
    /// The number of times that this host is in it.
    own: u32,
}

/// Stops requests that loop through this host. Cheap to clone.
#[derive(Clone)]
pub struct LoopGuard(Arc<Inner>);

struct Inner {
    id: HeaderValue,
    max_hops: u32,
    /// The value of `Proxy-Status` for a refused request.
    refusal: HeaderValue,
}

/// An id that does not fit into `CDN-Loop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHostId(String);

// === impl Hops ===

impl Hops {
    /// Returns how often the request has passed this host before.
    #[must_use]
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Returns true if the request names no hosts.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.chain.is_none()
    }
}

// === impl LoopGuard ===

impl LoopGuard {
    /// The default number of times that a request may come back to the same host. Chains of services through
    /// the front are legal and seldom longer than five; three times that leaves room, and a loop ends before
    /// it has taken much.
    pub const DEFAULT_MAX_HOPS: u32 = 16;

    /// Creates the guard of a host with this id. Hosts that share an id count together: each refuses a
    /// request that has passed them `max_hops` times.
    ///
    /// # Errors
    ///
    /// Returns an error if `id` is not a letter followed by up to 63 letters, digits or `-._`.
    pub fn new(id: &str, max_hops: u32) -> Result<Self, BadHostId> {
        let bad = || BadHostId(id.to_owned());
        let well_formed = id.len() <= MAX_ID
            && id.starts_with(|first: char| first.is_ascii_alphabetic())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !well_formed {
            return Err(bad());
        }
        let refusal = format!("{id}; error={LOOP_DETECTED}");
        Ok(Self(Arc::new(Inner {
            id: HeaderValue::from_str(id).map_err(|_| bad())?,
            max_hops,
            refusal: HeaderValue::from_str(&refusal).map_err(|_| bad())?,
        })))
    }

    /// Creates a guard with a unique id.
    #[must_use]
    pub fn unique(max_hops: u32) -> Self {
        let id = RequestId::new();
        // The second half, which is random.
        let digits = &id.as_uuid().simple().to_string()[16..];
        let id = format!("headwater-{digits}");
        let value = |text: &str| {
            HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("headwater"))
        };
        Self(Arc::new(Inner {
            refusal: value(&format!("{id}; error={LOOP_DETECTED}")),
            id: value(&id),
            max_hops,
        }))
    }

    /// Reads the hosts that a request says it came through.
    ///
    /// Looks only for this host's name, and keeps the rest of the field as it is, malformed or not.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Hops {
        if !headers.contains_key(CDN_LOOP) {
            return Hops::default();
        }
        let mut fields = headers.get_all(CDN_LOOP).iter();
        let Some(first) = fields.next() else {
            return Hops::default();
        };
        let mut chain = first.clone();
        for field in fields {
            let joined = [chain.as_bytes(), b", ", field.as_bytes()].concat();
            chain = HeaderValue::from_bytes(&joined).unwrap_or(chain);
            if chain.len() > MAX_CHAIN {
                break;
            }
        }
        if chain.len() > MAX_CHAIN {
            // Too long: counts as a loop.
            return Hops {
                chain: None,
                own: u32::MAX,
            };
        }
        let own = chain.as_bytes().split(|byte| *byte == b',');
        let own = own.filter(|member| self.is_own(member)).count();
        Hops {
            own: u32::try_from(own).unwrap_or(u32::MAX),
            chain: Some(chain),
        }
    }

    /// Admits a request unless it has come here too often.
    ///
    /// # Errors
    ///
    /// Returns a 508 fault if it has.
    pub fn admit(&self, hops: &Hops) -> Result<(), Fault> {
        if hops.own <= self.0.max_hops {
            return Ok(());
        }
        Err(Fault::loop_detected().caused_by(format!(
            "the request has come to this host more than {} times",
            self.0.max_hops
        )))
    }

    /// Sets `CDN-Loop` of an outgoing request: the hosts that its own request came through, then this host.
    /// Replaces any value of the guest's.
    pub fn pass_on(&self, hops: &Hops, headers: &mut HeaderMap) {
        let id = &self.0.id;
        let chain = hops.chain.as_ref().map(|chain| {
            let chain = [chain.as_bytes(), b", ", id.as_bytes()].concat();
            HeaderValue::from_bytes(&chain)
        });
        let chain = chain.and_then(Result::ok).unwrap_or_else(|| id.clone());
        headers.insert(CDN_LOOP, chain);
    }

    /// Adds `Proxy-Status` to the answer of a refused request.
    pub fn sign<B>(&self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        headers.insert(PROXY_STATUS, self.0.refusal.clone());
    }

    /// Returns true if this host, or another with the same id, refused a request with this response.
    #[must_use]
    pub fn has_refused<B>(&self, response: &Response<B>) -> bool {
        // A proxy in between adds a member of its own (RFC 9209, 2).
        let mut members = response
            .headers()
            .get_all(PROXY_STATUS)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        response.status() == StatusCode::LOOP_DETECTED
            && members.any(|member| member.trim_ascii() == self.0.refusal.as_bytes())
    }

    fn is_own(&self, member: &[u8]) -> bool {
        let mut parts = member.split(|byte| *byte == b';');
        let id = parts.next().unwrap_or_default().trim_ascii();
        id.eq_ignore_ascii_case(self.0.id.as_bytes())
    }
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self::unique(Self::DEFAULT_MAX_HOPS)
    }
}

impl fmt::Debug for LoopGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopGuard")
            .field("id", &self.0.id)
            .field("max_hops", &self.0.max_hops)
            .finish()
    }
}

impl fmt::Display for BadHostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" cannot name a host: write a letter and up to {} letters, digits, \"-\", \".\" or \"_\"",
            self.0,
            MAX_ID - 1
        )
    }
}

impl std::error::Error for BadHostId {}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(CDN_LOOP, HeaderValue::from_str(field).unwrap());
        }
        headers
    }

    #[test]
    fn this_host_is_counted_among_others_in_every_form_that_the_standard_knows() {
        let guard = LoopGuard::new("here", 16).unwrap();
        for (fields, own) in [
            (&[][..], 0),
            (&["there"], 0),
            (&["here"], 1),
            (&["there, here;v=1 , HERE", "x, here ; a=\"b\""], 3),
            (&["heretic, here-2, .here"], 0),
            (&["", ",", ", here,"], 1),
        ] {
            assert_eq!(guard.read(&received(fields)).own(), own, "{fields:?}");
        }
    }

    #[test]
    fn what_a_request_came_through_is_passed_on_with_this_host_at_the_end() {
        let guard = LoopGuard::new("here", 16).unwrap();
        let hops = guard.read(&received(&["there; v=1", "here"]));
        // Set by a guest.
        let mut headers = received(&["elsewhere", "nowhere"]);
        guard.pass_on(&hops, &mut headers);
        let sent: Vec<_> = headers.get_all(CDN_LOOP).iter().collect();
        assert_eq!(sent, ["there; v=1, here, here"]);

        guard.pass_on(&Hops::default(), &mut headers);
        assert_eq!(headers[CDN_LOOP], "here");
    }

    #[test]
    fn a_request_may_come_back_so_often_and_not_once_more() {
        let guard = LoopGuard::unique(2);
        let mut hops = Hops::default();
        for passed in 0..=2 {
            assert_eq!(hops.own(), passed);
            guard.admit(&hops).unwrap();
            let mut headers = HeaderMap::new();
            guard.pass_on(&hops, &mut headers);
            hops = guard.read(&headers);
        }
        let fault = guard.admit(&hops).unwrap_err();
        assert_eq!(fault.status(), StatusCode::LOOP_DETECTED);
    }

    #[test]
    fn a_chain_beyond_all_measure_is_a_loop() {
        let guard = LoopGuard::default();
        let fields = vec!["somebody-else"; 400];
        guard.admit(&guard.read(&received(&fields[..40]))).unwrap();
        guard
            .admit(&guard.read(&received(&fields)))
            .expect_err("5,000 bytes");
    }

    #[test]
    fn its_own_refusal_is_recognised_and_no_other() {
        let guard = LoopGuard::default();
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::LOOP_DETECTED;
        assert!(!guard.has_refused(&response));
        guard.sign(&mut response);
        assert!(guard.has_refused(&response));
        assert!(!LoopGuard::default().has_refused(&response), "another host");
        let other = HeaderValue::from_static("proxy");
        response.headers_mut().append(PROXY_STATUS, other);
        assert!(guard.has_refused(&response));
        *response.status_mut() = StatusCode::OK;
        assert!(!guard.has_refused(&response));
    }

    #[test]
    fn an_id_is_one_that_both_fields_can_carry() {
        let longest = "x".repeat(MAX_ID);
        for good in ["a", "eu-1.shop_2", &longest] {
            LoopGuard::new(good, 1).unwrap();
        }
        for bad in [
            "",
            "1a",
            "-a",
            "a b",
            "a,b",
            "a;b",
            "\u{e9}",
            &format!("{longest}x"),
        ] {
            let error = LoopGuard::new(bad, 1).unwrap_err().to_string();
            assert!(error.contains("write a letter"), "{error}");
        }
    }
}
