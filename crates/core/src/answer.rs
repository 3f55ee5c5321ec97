//! The answer that a client gets in place of a proper one.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use crate::{Body, Fault, RequestId, full};

impl Fault {
    /// Makes the answer: the status, the sentence and the request id. `why` is added to the text, for
    /// developers.
    #[must_use]
    pub fn answer(&self, id: RequestId, why: &str) -> Response<Body> {
        let text = format!("{} (request {id})\n{why}", self.summary());
        let mut response = Response::new(full(text));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        for (name, value) in self.fields() {
            headers.insert(name, value.clone());
        }
        if let Some(wait) = self.retry_after() {
            // Rounds up to whole seconds.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_seconds() {
        for (wait, seconds) in [(0, "0"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let fault = Fault::overload("test", Duration::from_millis(wait));
            let response = fault.answer(RequestId::new(), "");
            assert_eq!(response.headers()[RETRY_AFTER], seconds);
        }
    }
}
