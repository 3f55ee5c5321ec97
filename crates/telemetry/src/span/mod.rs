//! The spans of requests.

mod call;
mod client;
mod context;
mod link;
mod server;
pub(crate) mod url;

pub use call::{CallOutcome, CallSpan, GuestCall};
pub use client::{ClientRequest, ClientSpan};
pub use link::{LinkRequest, LinkSpan};
pub use server::{ServerRequest, ServerSpan};

use std::sync::LazyLock;

use headwater_core::{SpanContext, TraceFlags};
use http::{Method, Version};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::sampling::{Decision, Sampling, below};

/// The `tracing` target of request spans. Spans of other targets are not traced: those of hyper,
/// h2, tonic and wasmtime are not recorded, nor fed back to an exporter when they come from its own
/// requests.
pub const TARGET: &str = "headwater::request";

/// Starts a new span, under `parent` or as a root, and returns it with its context. `new` makes the span. It is
/// not called for a span that is not recorded, so that nothing is formatted or copied for it.
///
/// The context is always valid: without tracing it is generated, so that outgoing requests carry a
/// correct `traceparent` even without an exporter.
fn start(parent: Option<&SpanContext>, new: impl FnOnce() -> Span) -> (Span, SpanContext) {
    if !tracing::span_enabled!(target: TARGET, Level::INFO) {
        return (Span::none(), mint(parent));
    }
    // In a program that embeds Headwater there is none, and its own layers get the span.
    let _decided = match Sampling::decide(parent) {
        Some(Decision::Sample(decided)) => Some(decided),
        Some(Decision::Drop(context)) => return (Span::none(), context),
        None => None,
    };
    let span = new();
    // Must come before anything that starts the span on the OpenTelemetry side, as `context`
    // does. Fails without an OpenTelemetry layer: then the context is invalid.
    let _ = span.set_parent(below(parent));
    let context = span.context();
    let context = context.span().span_context().clone();
    match context.is_valid() {
        true => (span, context),
        false => (span, mint(parent)),
    }
}

/// Generates a context: in the parent's trace with its flags and state, or in a new trace.
fn mint(parent: Option<&SpanContext>) -> SpanContext {
    static IDS: LazyLock<RandomIdGenerator> = LazyLock::new(RandomIdGenerator::default);
    let span_id = IDS.new_span_id();
    match parent {
        Some(parent) => SpanContext::new(
            parent.trace_id(),
            span_id,
            parent.trace_flags(),
            false,
            parent.trace_state().clone(),
        ),
        None => SpanContext::new(
            IDS.new_trace_id(),
            span_id,
            // As the default sampler decides. "Not sampled" would turn off tracing for every
            // upstream that follows its caller's decision.
            TraceFlags::SAMPLED,
            false,
            Default::default(),
        ),
    }
}

/// Returns the value of `http.request.method` for a method that the semantic conventions know:
/// those of RFC 9110 and RFC 5789. Any other is [`OTHER_METHOD`].
pub(crate) fn known_method(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => return None,
    })
}

pub(crate) const OTHER_METHOD: &str = "_OTHER";

/// Returns the value of `network.protocol.version`.
pub(crate) fn protocol_version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
