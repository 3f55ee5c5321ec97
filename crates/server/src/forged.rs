//! Fields that only the front may set.

use http::HeaderMap;

use crate::pattern::FIELD_PREFIX;
use crate::peer::{CLIENT_CERT, X_CLIENT_CERT};

/// Removes what services shall be able to rely on.
pub(crate) fn remove(headers: &mut HeaderMap) {
    // Hardly a request has any: one look at the names costs less than a search for each of these.
    while let Some(forged) = headers
        .keys()
        .find(|name| {
            let name = name.as_str();
            [FIELD_PREFIX, CLIENT_CERT, X_CLIENT_CERT]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        })
        .cloned()
    {
        headers.remove(forged);
    }
}
