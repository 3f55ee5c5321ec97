//! A readable tree per request, for a person at a terminal.
//!
//! A tree is printed when its request's server span ends. The tree of a service that another service of this
//! host called is printed with the caller's. An outgoing request that ends later, in a task that the guest
//! spawned, is printed as a separate line which names the request.

mod text;

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, TraceContextExt};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;

use crate::output::OutputWriter;
use text::{Palette, Tree, TreePosition};

/// The number of open requests that get a tree: more than a person can follow.
const MAX_OPEN: usize = 1024;
/// The number of outgoing requests that a tree shows.
const MAX_CHILDREN: usize = 64;

pub(crate) struct TreeProcessor {
    palette: Palette,
    open: Mutex<Open>,
    writer: OutputWriter,
}

/// The requests not answered yet.
#[derive(Default)]
struct Open {
    trees: HashMap<SpanId, Tree>,
    /// The outgoing requests and the links of these, each with its request: the tree of a called service of
    /// this host goes beneath, and so do the outgoing requests of a link.
    calls: HashMap<SpanId, SpanId>,
    /// The number of requests beyond [`MAX_OPEN`].
    untracked: usize,
}

impl TreeProcessor {
    pub(crate) fn new(writer: OutputWriter, color: bool) -> Self {
        Self {
            palette: Palette { color },
            open: Mutex::default(),
            writer,
        }
    }
}

impl Open {
    fn start(&mut self, id: SpanId) {
        if self.trees.len() < MAX_OPEN {
            self.trees.insert(id, Tree::default());
        } else {
            self.untracked += 1;
        }
    }

    fn end(&mut self, id: SpanId) -> Option<Tree> {
        let tree = self.trees.remove(&id);
        if tree.is_some() {
            self.calls.retain(|_, request| *request != id);
        } else {
            self.untracked = self.untracked.saturating_sub(1);
        }
        tree
    }

    /// Returns the request that a span belongs to: the span itself, or the request of the link of a chain.
    fn request_of(&self, span: SpanId) -> SpanId {
        self.calls.get(&span).copied().unwrap_or(span)
    }

    /// Returns the tree with this outgoing request.
    fn caller(&mut self, call: SpanId) -> Option<&mut Tree> {
        self.trees.get_mut(self.calls.get(&call)?)
    }
}

impl SpanProcessor for TreeProcessor {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        use opentelemetry::trace::Span as _;
        let parent = parent.span();
        let parent = parent.span_context();
        let mut open = self.open.lock();
        if parent.is_valid() && !parent.is_remote() {
            let (request, call) = (
                open.request_of(parent.span_id()),
                span.span_context().span_id(),
            );
            if let Some(tree) = open.trees.get_mut(&request) {
                tree.running += 1;
                if open.calls.len() < MAX_OPEN {
                    open.calls.insert(call, request);
                }
            }
        } else {
            // A server span, or the root that an outgoing request of unknown origin makes.
            open.start(span.span_context().span_id());
        }
    }

    fn on_end(&self, span: SpanData) {
        let id = span.span_context.span_id();
        let palette = self.palette;
        let text = if span.span_kind == SpanKind::Server {
            let mut open = self.open.lock();
            let tree = open.end(id);
            let text = palette.tree(&span, tree.as_ref());
            if let Some(caller) = open.caller(span.parent_span_id) {
                caller.add_called(span.parent_span_id, &text);
                return;
            }
            text
        } else if span.parent_span_id == SpanId::INVALID {
            self.open.lock().end(id);
            palette.line(&span, TreePosition::Nowhere)
        } else {
            let call = palette.call(&span);
            let mut open = self.open.lock();
            let untracked = open.untracked > 0;
            let request = open.request_of(span.parent_span_id);
            match open.trees.get_mut(&request) {
                Some(tree) => {
                    tree.running = tree.running.saturating_sub(1);
                    tree.add(call);
                    return;
                }
                None if untracked => palette.line(&span, TreePosition::Untracked),
                None => palette.line(&span, TreePosition::Late),
            }
        };
        self.writer.push(text.as_bytes());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

headwater_core::debug_fields!(TreeProcessor {});

#[cfg(test)]
mod tests;
