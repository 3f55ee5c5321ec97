//! The trace headers of an outgoing request: those of its own client span, or those that the guest
//! set.

pub use headwater_core::GuestTraceparent;
use headwater_core::{Attribution, SpanContext};
use headwater_telemetry::{ClientSpan, propagation};
use http::{HeaderMap, HeaderValue};

/// The treatment of trace headers that guests set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    /// The treatment of a guest's own `traceparent`. Default: keep it.
    pub traceparent: GuestTraceparent,
    /// If true, outgoing requests carry the `x-request-id` of the request that they are made for,
    /// in place of the guest's. Default: false, because other parties' upstreams need not know it.
    pub request_id: bool,
}

impl TraceHeaders {
    pub(crate) fn apply(
        self,
        headers: &mut HeaderMap,
        attribution: &Attribution,
        span: &ClientSpan,
    ) {
        match propagation::extract(headers) {
            Some(guest) if self.keeps(&guest, attribution) => clean_state(headers, &guest),
            Some(guest) => {
                if self.traceparent == GuestTraceparent::Link && !is_own(&guest, attribution) {
                    span.link(&guest);
                }
                replace(headers, span);
            }
            None => replace(headers, span),
        }
        propagation::clean_baggage(headers);
        self.name_request(headers, attribution);
    }

    fn keeps(self, guest: &SpanContext, attribution: &Attribution) -> bool {
        match self.traceparent {
            GuestTraceparent::Keep => !is_own(guest, attribution),
            GuestTraceparent::Replace | GuestTraceparent::Link => false,
        }
    }

    fn name_request(self, headers: &mut HeaderMap, attribution: &Attribution) {
        let scope = attribution.scope().filter(|_| self.request_id);
        if let Some(scope) = scope
            && let Ok(id) = HeaderValue::from_str(&scope.id().to_string())
        {
            headers.insert(propagation::X_REQUEST_ID, id);
        } else if propagation::client_request_id(headers).is_none() {
            headers.remove(propagation::X_REQUEST_ID);
        }
    }
}

/// Returns true if it is the server span of the request that the outgoing request is made for.
fn is_own(guest: &SpanContext, attribution: &Attribution) -> bool {
    attribution.scope().is_some_and(|scope| {
        let own = scope.span();
        (own.trace_id(), own.span_id()) == (guest.trace_id(), guest.span_id())
    })
}

fn replace(headers: &mut HeaderMap, span: &ClientSpan) {
    // `inject` replaces them, unless it has no value.
    headers.remove(propagation::TRACEPARENT);
    headers.remove(propagation::TRACESTATE);
    propagation::inject(span.context(), headers);
}

/// Drops a malformed `tracestate` beside a `traceparent` that is kept.
fn clean_state(headers: &mut HeaderMap, guest: &SpanContext) {
    if guest.trace_state().header().is_empty() {
        headers.remove(propagation::TRACESTATE);
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::Witness;
    use http::header::HeaderName;
    use http::{Method, Uri};

    use super::*;
    use crate::testing::scope;

    const OTHERS: &str = "00-11111111111111111111111111111111-2222222222222222-01";

    struct Sent {
        headers: HeaderMap,
        own: SpanContext,
        attribution: Attribution,
    }

    impl Sent {
        fn carries_its_own_span(&self) -> bool {
            propagation::extract(&self.headers).is_some_and(|sent| {
                sent.span_id() == self.own.span_id() && sent.trace_id() == self.own.trace_id()
            })
        }

        fn get(&self, name: &str) -> Option<&str> {
            Some(self.headers.get(name)?.to_str().unwrap())
        }
    }

    fn send(policy: TraceHeaders, attribution: Attribution, set: &[(&str, &str)]) -> Sent {
        let mut headers = HeaderMap::new();
        for (name, value) in set {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let span = ClientSpan::start(headwater_telemetry::ClientRequest {
            attribution: &attribution,
            service: "test",
            method: &Method::GET,
            uri: &Uri::from_static("http://a.example/"),
        });
        policy.apply(&mut headers, &attribution, &span);
        Sent {
            headers,
            own: span.context().clone(),
            attribution,
        }
    }

    fn exact() -> Attribution {
        Attribution::exact(scope(), Witness::Stack)
    }

    fn policy(traceparent: GuestTraceparent) -> TraceHeaders {
        TraceHeaders {
            traceparent,
            request_id: false,
        }
    }

    #[test]
    fn a_guest_s_own_span_is_kept_by_default_with_its_state_and_baggage() {
        let set = [
            ("traceparent", OTHERS),
            ("tracestate", "a=1"),
            ("baggage", "user=1"),
        ];
        let sent = send(TraceHeaders::default(), exact(), &set);
        for (name, value) in set {
            assert_eq!(sent.get(name), Some(value));
        }
        assert_ne!(sent.own.trace_id().to_string(), OTHERS[3..35]);
    }

    #[test]
    fn a_guest_that_copies_what_it_was_given_gets_the_outgoing_request_s_span_in_its_place() {
        for traceparent in [
            GuestTraceparent::Keep,
            GuestTraceparent::Replace,
            GuestTraceparent::Link,
        ] {
            let scope = scope();
            let mut given = HeaderMap::new();
            propagation::introduce(scope.span(), &mut given);
            let copied = given["traceparent"].to_str().unwrap();
            let attribution = Attribution::exact(scope.clone(), Witness::StackAndEcho);
            let sent = send(policy(traceparent), attribution, &[("traceparent", copied)]);
            assert!(sent.carries_its_own_span(), "{traceparent:?}");
            assert_eq!(sent.own.trace_id(), scope.span().trace_id());
        }
    }

    #[test]
    fn the_server_span_of_a_request_that_is_not_the_one_is_kept_as_any_other() {
        let mut given = HeaderMap::new();
        propagation::introduce(scope().span(), &mut given);
        let copied = given["traceparent"].to_str().unwrap();
        let set = [("traceparent", copied)];
        let sent = send(TraceHeaders::default(), Attribution::unknown(), &set);
        assert_eq!(sent.get("traceparent"), Some(copied));
    }

    #[test]
    fn a_replaced_span_is_the_outgoing_request_s_own() {
        for traceparent in [GuestTraceparent::Replace, GuestTraceparent::Link] {
            let set = [("traceparent", OTHERS), ("tracestate", "a=1")];
            let sent = send(policy(traceparent), exact(), &set);
            assert!(sent.carries_its_own_span(), "{traceparent:?}");
            assert_eq!(sent.get("tracestate"), None, "{traceparent:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_dropped_whatever_the_policy() {
        for traceparent in [
            GuestTraceparent::Keep,
            GuestTraceparent::Replace,
            GuestTraceparent::Link,
        ] {
            let set = [
                ("traceparent", "00-forged"),
                ("tracestate", "a=1"),
                ("baggage", "not baggage"),
                ("x-request-id", "two words"),
            ];
            let sent = send(policy(traceparent), exact(), &set);
            assert!(sent.carries_its_own_span(), "{traceparent:?}");
            assert_eq!(sent.headers.len(), 1, "{:?}", sent.headers);

            let twice = [("traceparent", OTHERS), ("traceparent", OTHERS)];
            let sent = send(policy(traceparent), exact(), &twice);
            assert!(sent.carries_its_own_span(), "{traceparent:?}");
        }
        let set = [("traceparent", OTHERS), ("tracestate", "no equals")];
        let sent = send(TraceHeaders::default(), exact(), &set);
        assert_eq!(sent.get("traceparent"), Some(OTHERS));
        assert_eq!(sent.get("tracestate"), None);
    }

    #[test]
    fn the_request_s_id_is_sent_where_that_is_set_and_known_and_then_in_place_of_any_other() {
        let forward = TraceHeaders {
            request_id: true,
            ..TraceHeaders::default()
        };
        let forged = [("x-request-id", "forged")];
        for set in [&[][..], &forged] {
            let sent = send(forward, exact(), set);
            let scope = sent.attribution.scope().unwrap();
            assert_eq!(sent.get("x-request-id"), Some(&*scope.id().to_string()));
        }
        let sent = send(forward, Attribution::unknown(), &forged);
        assert_eq!(sent.get("x-request-id"), Some("forged"));
        let sent = send(TraceHeaders::default(), exact(), &[]);
        assert_eq!(sent.get("x-request-id"), None);
    }
}
