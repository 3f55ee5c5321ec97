//! Decides if a request is traced before its span is made.
//!
//! The SDK asks the sampler when it starts a span. By then `tracing` has formatted and copied the span's
//! fields, which costs more than all else that the host does for tracing, and most of them are for nobody if one
//! trace in a hundred is sampled. So a span without fields is started first, by a provider without processors. Its
//! sampler is the one that the environment names; the provider of real spans samples all that come.

use std::cell::Cell;

use headwater_core::{SpanContext, SpanId, TraceId};
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;

thread_local! {
    /// The trace of the root span that is about to start: the sampler decided by this id.
    static NEXT: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// A layer that does nothing but hold the sampler of a dispatcher.
#[derive(Debug)]
pub(crate) struct Sampling {
    tracer: SdkTracer,
}

/// The ids of real spans: a root has the trace id that the sampler decided by.
#[derive(Debug, Default)]
pub(crate) struct DecidedIds(RandomIdGenerator);

/// The sampler's decision about a span.
pub(crate) enum Decision {
    /// The span is recorded.
    Sample(Decided),
    /// It is not. Its context tells others so.
    Drop(SpanContext),
}

/// Keeps the trace id for the next root span of this thread, until it is dropped.
pub(crate) struct Decided(());

/// Returns the OpenTelemetry context of a span under `parent`, or of a root.
pub(crate) fn below(parent: Option<&SpanContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(parent.clone()),
        None => Context::new(),
    }
}

// === impl Sampling ===

impl Sampling {
    /// Takes the sampler from the environment.
    pub(crate) fn from_environment() -> Self {
        let provider =
            SdkTracerProvider::builder().with_resource(Resource::builder_empty().build());
        Self::of(&provider.build())
    }

    /// Takes the sampler of this provider, which must have no processors.
    pub(crate) fn of(provider: &SdkTracerProvider) -> Self {
        Self {
            tracer: provider.tracer("sampling"),
        }
    }

    /// Returns the decision of the current dispatcher's sampler. `None` if it has none.
    pub(crate) fn decide(parent: Option<&SpanContext>) -> Option<Decision> {
        tracing::dispatcher::get_default(|dispatch| {
            let sampling: &Self = dispatch.downcast_ref()?;
            Some(sampling.of_child(parent))
        })
    }

    fn of_child(&self, parent: Option<&SpanContext>) -> Decision {
        let span = self.tracer.start_with_context("", &below(parent));
        if !span.is_recording() {
            return Decision::Drop(span.span_context().clone());
        }
        NEXT.set(Some(span.span_context().trace_id()));
        Decision::Sample(Decided(()))
    }
}

impl<S: Subscriber> Layer<S> for Sampling {}

// === impl DecidedIds ===

impl IdGenerator for DecidedIds {
    fn new_trace_id(&self) -> TraceId {
        NEXT.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

// === impl Decided ===

impl Drop for Decided {
    fn drop(&mut self) {
        // A child has its parent's trace, and never asks for an id.
        NEXT.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use headwater_core::TraceFlags;
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

    use crate::test_support::{Incoming, exact, outgoing, record_sampled};

    use super::*;

    fn samples(sampler: &Sampler, trace_id: TraceId) -> bool {
        let kind = opentelemetry::trace::SpanKind::Server;
        let result = sampler.should_sample(None, trace_id, "", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn remote(trace_flags: TraceFlags) -> SpanContext {
        let (trace, span) = (TraceId::from(7), SpanId::from(8));
        SpanContext::new(trace, span, trace_flags, true, Default::default())
    }

    #[test]
    fn the_sampler_decides_by_the_id_that_the_trace_then_has() {
        let half = Sampler::TraceIdRatioBased(0.5);
        let mut told = HashMap::new();
        let recorded = record_sampled(half.clone(), || {
            for _ in 0..200 {
                let span = Incoming::get("http://shop.test/").start();
                let context = span.context();
                assert!(context.is_valid());
                told.insert(context.trace_id(), context.is_sampled());
            }
        });
        assert_eq!(told.len(), 200);
        for (trace, sampled) in &told {
            assert_eq!(*sampled, samples(&half, *trace));
        }
        assert!((1..200).contains(&recorded.len()), "{}", recorded.len());
        for span in &recorded {
            assert!(told[&span.span_context.trace_id()]);
        }
        let sampled = told.values().filter(|sampled| **sampled);
        assert_eq!(recorded.len(), sampled.count());
    }

    #[test]
    fn a_span_that_is_not_sampled_is_not_made_and_neither_are_those_below_it() {
        let off = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        let recorded = record_sampled(off, || {
            let request = Incoming::get("http://shop.test/");
            let span = request.start();
            let attribution = exact(&request.scope(&span));
            let outgoing = outgoing(&attribution, "http://bank.test/");
            assert!(!span.context().is_sampled() && !outgoing.context().is_sampled());
            // The next services are told so, within the same trace.
            assert_eq!(span.context().trace_id(), outgoing.context().trace_id());
            assert_ne!(span.context().span_id(), outgoing.context().span_id());
        });
        assert_eq!(recorded, []);
    }

    #[test]
    fn the_caller_s_choice_is_followed_and_its_trace_goes_on() {
        let off = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        let recorded = record_sampled(off, || {
            for flags in [TraceFlags::SAMPLED, TraceFlags::default()] {
                let request = Incoming {
                    parent: Some(remote(flags)),
                    ..Incoming::get("http://shop.test/")
                };
                let span = request.start();
                assert_eq!(span.context().trace_id(), TraceId::from(7));
                assert_eq!(span.context().is_sampled(), flags.is_sampled());
            }
        });
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].parent_span_id, SpanId::from(8));
    }

    #[test]
    fn a_root_after_a_child_has_a_trace_of_its_own() {
        let recorded = record_sampled(Sampler::AlwaysOn, || {
            let child = Incoming {
                parent: Some(remote(TraceFlags::SAMPLED)),
                ..Incoming::get("http://shop.test/")
            };
            drop(child.start());
            drop(Incoming::get("http://shop.test/").start());
        });
        assert_ne!(
            recorded[0].span_context.trace_id(),
            recorded[1].span_context.trace_id()
        );
    }
}
