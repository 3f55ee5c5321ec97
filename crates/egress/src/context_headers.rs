//! Header fields of outgoing requests that have values of the context of the request that they are made for.

use std::sync::Arc;

use headwater_core::{ContextName, RequestScope};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header fields, each with the name of its value.
pub(crate) struct ContextHeaders(pub(crate) Vec<(HeaderName, ContextName)>);

// === impl ContextHeaders ===

impl ContextHeaders {
    /// Sets the fields whose values are set, and removes the others, so that an upstream can trust that none
    /// is the guest's. `scope` is the request that this one is made for, if that is known exactly.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, scope: Option<&Arc<RequestScope>>) {
        for (header, name) in &self.0 {
            headers.remove(header);
            let value = scope.and_then(|scope| scope.context().get(name));
            // A value without control characters is always good in a header.
            let value = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
            if let Some(value) = value {
                headers.insert(header, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;

    #[test]
    fn a_field_has_the_value_of_the_request_and_never_what_the_guest_set() {
        let user: ContextName = "user".parse().unwrap();
        let fields = ContextHeaders(vec![(HeaderName::from_static("x-user"), user.clone())]);
        let sent = |scope: Option<&Arc<RequestScope>>| {
            let mut headers = HeaderMap::new();
            for name in ["x-user", "x-user", "x-other"] {
                headers.append(name, HeaderValue::from_static("the guest's"));
            }
            fields.apply(&mut headers, scope);
            assert_eq!(headers["x-other"], "the guest's");
            let values: Vec<_> = headers.get_all("x-user").iter().cloned().collect();
            values
        };
        let scope = scope();
        assert!(sent(Some(&scope)).is_empty() && sent(None).is_empty());
        scope.set_context(&user, Some("ann ü"), false).unwrap();
        assert_eq!(sent(Some(&scope)), ["ann ü"]);
        assert!(sent(None).is_empty());
    }
}
