//! Test support of several modules.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use headwater_core::{Attribution, RequestId, RequestScope, ScopeParts, SpanContext, Witness};
use http::{HeaderMap, Method, Uri, Version};
use opentelemetry::Value;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tracing::Dispatch;

use crate::sampling::{DecidedIds, Sampling};
use crate::{ClientRequest, ClientSpan, LogConfig, ServerRequest, ServerSpan, log, pipeline};

#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` with traces kept in memory, and returns the spans that ended in it.
pub(crate) fn record(work: impl FnOnce()) -> Vec<SpanData> {
    record_sampled(by_default(), work)
}

/// The sampler of an environment that names none.
fn by_default() -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
}

/// The same, of the spans that this sampler selects.
pub(crate) fn record_sampled(sampler: Sampler, work: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(DecidedIds::default())
        .with_simple_exporter(exporter.clone())
        .build();
    tracing::dispatcher::with_default(&dispatch_sampled(&provider, sampler), work);
    exporter.get_finished_spans().unwrap()
}

/// Returns a dispatcher that records into `provider` and has no log.
pub(crate) fn dispatch(provider: &SdkTracerProvider) -> Dispatch {
    dispatch_sampled(provider, by_default())
}

fn dispatch_sampled(provider: &SdkTracerProvider, sampler: Sampler) -> Dispatch {
    let off = LogConfig {
        filter: "off".to_owned(),
        ..LogConfig::default()
    };
    let (log, _level) = log::layer(&off, io::sink).unwrap();
    let decides = SdkTracerProvider::builder().with_sampler(sampler).build();
    let traces = (provider.tracer("test"), Sampling::of(&decides));
    pipeline::dispatch(Some(traces), log)
}

/// A request as the front sees it.
pub(crate) struct Incoming {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) parent: Option<SpanContext>,
    pub(crate) service: &'static str,
    pub(crate) route: &'static str,
}

impl Incoming {
    pub(crate) fn get(uri: &str) -> Self {
        Self {
            id: RequestId::new(),
            method: Method::GET,
            uri: uri.parse().unwrap(),
            headers: HeaderMap::new(),
            parent: None,
            service: "shop",
            route: "/api/...",
        }
    }

    pub(crate) fn start(&self) -> ServerSpan {
        ServerSpan::start(ServerRequest {
            id: self.id,
            method: &self.method,
            uri: &self.uri,
            version: Version::HTTP_11,
            headers: &self.headers,
            service: self.service,
            route: self.route,
            client: Some(SocketAddr::from(([192, 0, 2, 7], 4711))),
            server: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            parent: self.parent.as_ref(),
            caller: None,
        })
    }

    pub(crate) fn scope(&self, span: &ServerSpan) -> Arc<RequestScope> {
        RequestScope::new(ScopeParts {
            id: self.id,
            parent: self.parent.clone(),
            span: span.context().clone(),
            service: self.service.into(),
            route: self.route.into(),
            host: None,
            client: None,
            started: std::time::Instant::now(),
            deadline: None,
        })
    }
}

pub(crate) fn outgoing(attribution: &Attribution, uri: &str) -> ClientSpan {
    ClientSpan::start(ClientRequest {
        attribution,
        service: "shop",
        method: &Method::GET,
        uri: &uri.parse().unwrap(),
    })
}

/// Returns an exact attribution by the call stack.
pub(crate) fn exact(scope: &Arc<RequestScope>) -> Attribution {
    Attribution::exact(Arc::clone(scope), Witness::Stack)
}

/// Returns the value of an attribute, if set. Panics if it was set twice.
pub(crate) fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let mut values = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key.as_str() == key)
        .map(|attribute| &attribute.value);
    let value = values.next();
    assert!(values.next().is_none(), "{key} was set twice");
    value
}

/// Returns the value of an attribute as text; empty if it is not set.
pub(crate) fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key)
        .map(ToString::to_string)
        .unwrap_or_default()
}
