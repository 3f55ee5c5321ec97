//! Logs the limits that a service reached, for operators: a guest sees an error and often hides it.

use std::sync::Arc;

use headwater_telemetry::{Limit as Described, LimitLog, Setting};

use crate::limits::{EgressLimits, SharedLimits};
use crate::{EgressError, EgressShared, Limit};

/// Logs the limits that one service reaches, at most once a minute each. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MetLimits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: LimitLog,
    own: EgressLimits,
    shared: SharedLimits,
}

const fn described(
    name: &'static str,
    effect: &'static str,
    key: &'static str,
    flag: &'static str,
) -> Described {
    Described {
        name,
        effect,
        setting: Some(Setting {
            key,
            flag: Some(flag),
        }),
    }
}

const SERVICE_REQUESTS: Described = described(
    "outgoing_requests_of_service",
    "the service has reached its limit of outgoing requests, and further ones fail with \
     connection-limit-reached",
    "outgoing.max_requests",
    "--max-outgoing-requests",
);

const ALL_REQUESTS: Described = described(
    "outgoing_requests_in_all",
    "all services together have reached the limit of outgoing requests, and further ones fail with \
     connection-limit-reached",
    "server.max_outgoing_requests_in_all",
    "--max-outgoing-requests-in-all",
);

const SERVICE_CONNECTIONS: Described = described(
    "outgoing_connections_of_service",
    "the service has reached its limit of connections to upstreams, all are in use, and requests that \
     need another one fail with connection-limit-reached",
    "outgoing.max_connections",
    "--max-outgoing-connections",
);

const ALL_CONNECTIONS: Described = described(
    "outgoing_connections_in_all",
    "all services together have reached the limit of connections to upstreams, all are in use, and \
     requests that need another one fail with connection-limit-reached",
    "server.max_outgoing_connections_in_all",
    "--max-outgoing-connections-in-all",
);

const REQUEST_HEAD: Described = described(
    "outgoing_request_head",
    "an outgoing request with a larger head, or larger trailers, fails",
    "outgoing.max_request_head",
    "--max-outgoing-request-head",
);

const REQUEST_BODY: Described = described(
    "outgoing_request_body",
    "an outgoing request with a larger body fails",
    "outgoing.max_request_body",
    "--max-outgoing-request-body",
);

const RESPONSE_HEAD: Described = described(
    "outgoing_response_head",
    "an outgoing request fails if its response has a larger head, or larger trailers",
    "outgoing.max_response_head",
    "--max-outgoing-response-head",
);

const RESPONSE_FIELDS: Described = described(
    "outgoing_response_fields",
    "an outgoing request fails if its response has more header fields, or if the response's head is \
     larger than `outgoing.max_response_head`",
    "outgoing.max_response_fields",
    "--max-outgoing-response-fields",
);

const RESPONSE_BODY: Described = described(
    "outgoing_response_body",
    "an outgoing request fails if its response has a larger body",
    "outgoing.max_response_body",
    "--max-outgoing-response-body",
);

// === impl MetLimits ===

impl MetLimits {
    pub(crate) fn new(service: &Arc<str>, own: &EgressLimits, shared: &EgressShared) -> Self {
        Self(Arc::new(Inner {
            log: LimitLog::new(Arc::clone(service)),
            own: own.clone(),
            shared: shared.limits(),
        }))
    }

    /// Logs the limit that a request failed by, if any.
    pub(crate) fn note(&self, error: &EgressError) {
        if let Some((limit, most)) = self.0.limit(error) {
            self.0.log.met(limit, most);
        }
    }
}

// === impl Inner ===

impl Inner {
    fn limit(&self, error: &EgressError) -> Option<(&'static Described, u64)> {
        let Self { own, shared, .. } = self;
        let (limit, most) = match error {
            EgressError::Limit(limit) => match limit {
                // The caller logs this one.
                Limit::InstanceRequests => return None,
                Limit::ServiceRequests => (&SERVICE_REQUESTS, own.max_requests),
                Limit::AllRequests => (&ALL_REQUESTS, shared.max_requests),
                Limit::ServiceConnections => (&SERVICE_CONNECTIONS, own.max_connections),
                Limit::AllConnections => (&ALL_CONNECTIONS, shared.max_connections),
            },
            EgressError::RequestHeadSize(_) | EgressError::RequestTrailersSize(_) => {
                (&REQUEST_HEAD, own.request_head)
            }
            EgressError::ResponseHeadSize(Some(_)) | EgressError::ResponseTrailersSize(_) => {
                (&RESPONSE_HEAD, own.response_head)
            }
            EgressError::ResponseHeadSize(None) => (&RESPONSE_FIELDS, own.response_fields),
            EgressError::RequestBodySize(_) => return Some((&REQUEST_BODY, own.request_body?)),
            EgressError::ResponseBodySize(_) => return Some((&RESPONSE_BODY, own.response_body?)),
            _ => return None,
        };
        Some((limit, most as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_line_that_says_what_it_is_set_to() {
        let own = EgressLimits {
            max_requests: 1,
            max_connections: 2,
            request_head: 3,
            response_head: 4,
            response_fields: 5,
            request_body: Some(6),
            response_body: Some(7),
            ..EgressLimits::default()
        };
        let shared = EgressShared::new(SharedLimits {
            max_requests: 8,
            max_connections: 9,
        });
        let met = MetLimits::new(&"shop".into(), &own, &shared);
        for (error, most) in [
            (EgressError::Limit(Limit::ServiceRequests), 1),
            (EgressError::Limit(Limit::ServiceConnections), 2),
            (EgressError::Limit(Limit::AllRequests), 8),
            (EgressError::Limit(Limit::AllConnections), 9),
            (EgressError::RequestHeadSize(0), 3),
            (EgressError::RequestTrailersSize(0), 3),
            (EgressError::ResponseHeadSize(Some(0)), 4),
            (EgressError::ResponseTrailersSize(None), 4),
            (EgressError::ResponseHeadSize(None), 5),
            (EgressError::RequestBodySize(0), 6),
            (EgressError::ResponseBodySize(0), 7),
        ] {
            let (limit, found) = met.0.limit(&error).unwrap();
            assert_eq!(found, most, "{error:?}");
            let setting = limit.setting.unwrap();
            assert!(
                setting.flag.unwrap().starts_with("--max-outgoing-"),
                "{setting:?}"
            );
        }
        let elsewhere = EgressError::Limit(Limit::InstanceRequests);
        assert!(met.0.limit(&elsewhere).is_none());
        assert!(met.0.limit(&EgressError::FirstByteTimeout).is_none());
    }
}
