//! Finds out which request a call was made for, as seen by an upstream.

use std::collections::{HashMap, HashSet};
use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::trace_context::TraceParent;
use crate::trace_file::{Kind, Span, TraceFile};
use crate::upstream::Call;

/// The trace contexts that a client sent, each with its tag.
///
/// The guest passes the tag on and the host passes the trace on: if both name the same request, the
/// host was right.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    sent: HashMap<String, TraceParent>,
}

/// The verdicts on several calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The trace id is that of the request that the call was made for.
    pub right: usize,
    /// The trace id belongs to no request: there is no `traceparent`, or it is of a new trace.
    pub unknown: usize,
    /// The trace id is that of another request.
    pub wrong: usize,
}

impl Ledger {
    /// Records a request that is about to be sent, and returns the trace context to send with it.
    ///
    /// A tag must not be used twice.
    pub fn enter(&mut self, tag: &str) -> TraceParent {
        let parent = TraceParent::fresh();
        self.sent.insert(tag.to_owned(), parent.clone());
        parent
    }

    /// Takes the entries of another client's ledger.
    pub fn merge(&mut self, other: Self) {
        self.sent.extend(other.sent);
    }

    /// Returns the number of recorded requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Returns true if no request was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Compares tag and trace id of each call.
    #[must_use]
    pub fn judge(&self, calls: &[Call]) -> Counts {
        let ours: HashSet<&str> = self
            .sent
            .values()
            .map(|sent| sent.trace_id.as_str())
            .collect();
        let mut counts = Counts::default();
        for call in calls {
            let expected = call.tag.as_ref().and_then(|tag| self.sent.get(tag));
            match (&call.traceparent, expected) {
                (Some(seen), Some(sent)) if seen.trace_id == sent.trace_id => counts.right += 1,
                (Some(seen), _) if ours.contains(seen.trace_id.as_str()) => counts.wrong += 1,
                _ => counts.unknown += 1,
            }
        }
        counts
    }

    /// Follows each call through the trace file, starting at the span that its `traceparent` names.
    /// This must be a client span with the attribution `exact` by `witness`, its parent a server span, with or
    /// without the links of a chain in between, and the parent of that the span that the client sent with the
    /// call's tag.
    ///
    /// # Errors
    ///
    /// Returns an error if a link is missing or leads elsewhere.
    pub fn follow(&self, calls: &[Call], trace: &TraceFile, witness: &str) -> Result<()> {
        for call in calls {
            self.follow_one(call, trace, witness)
                .with_context(|| format!("the call {} for {:?}", call.path, call.tag))?;
        }
        Ok(())
    }

    fn follow_one(&self, call: &Call, trace: &TraceFile, witness: &str) -> Result<()> {
        let sent = call.tag.as_ref().and_then(|tag| self.sent.get(tag));
        let sent = sent.context("has a tag that no client sent")?;
        let seen = call.traceparent.as_ref();
        let seen = seen.context("has no well-formed traceparent")?;

        let client = trace.span(&seen.span_id);
        let client = client.context("names a span that is not in the trace file")?;
        ensure!(
            client.kind == Kind::Client,
            "names a span that is no client span: {client:?}"
        );
        ensure!(
            client.attribute("headwater.attribution") == Some("exact")
                && client.attribute("headwater.attribution.witness") == Some(witness),
            "is not attributed as exact by {witness}: {client:?}"
        );

        let parent = |span: &Span| trace.span(span.parent_id.as_ref()?);
        let mut server = parent(client);
        while let Some(link) = server.filter(|span| span.kind == Kind::Other) {
            ensure!(
                link.attribute("headwater.request_id") == client.attribute("headwater.request_id"),
                "hangs under a link of another request: {link:?}"
            );
            server = parent(link);
        }
        let server = server.context("has a span without a parent in the trace file")?;
        ensure!(
            server.kind == Kind::Server,
            "hangs under a span that is no server span: {server:?}"
        );
        ensure!(
            server.parent_id.as_ref() == Some(&sent.span_id),
            "hangs under the server span of another request: {server:?}"
        );
        ensure!(
            client.trace_id == sent.trace_id && server.trace_id == sent.trace_id,
            "changes the trace on its way: {client:?} under {server:?}"
        );
        ensure!(
            client.attribute("headwater.request_id").is_some()
                && client.attribute("headwater.request_id")
                    == server.attribute("headwater.request_id"),
            "names another request id: {client:?} under {server:?}"
        );
        Ok(())
    }
}

impl Counts {
    /// Returns the number of calls.
    #[must_use]
    pub fn total(self) -> usize {
        self.right + self.unknown + self.wrong
    }

    /// Returns true if all `expected` calls were made and were right.
    #[must_use]
    pub fn all_right(self, expected: usize) -> bool {
        self.right == expected && self.total() == expected
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            right,
            unknown,
            wrong,
        } = self;
        write!(f, "{right} right, {unknown} unknown, {wrong} wrong")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tag: &str, traceparent: Option<TraceParent>) -> Call {
        Call {
            path: "/call/0".to_owned(),
            tag: Some(tag.to_owned()),
            traceparent,
            headers: http::HeaderMap::new(),
        }
    }

    #[test]
    fn right_wrong_and_unknown_are_told_apart() {
        let mut ledger = Ledger::default();
        let (a, b) = (ledger.enter("a"), ledger.enter("b"));
        let calls = [
            call("a", Some(a.clone())),
            call("b", Some(a)),
            call("a", Some(b.clone())),
            call("b", None),
            call("b", Some(TraceParent::fresh())),
            call("b", Some(b)),
        ];
        let counts = ledger.judge(&calls);
        assert_eq!(
            counts,
            Counts {
                right: 2,
                unknown: 2,
                wrong: 2
            }
        );
        assert!(!counts.all_right(6));
    }
}
