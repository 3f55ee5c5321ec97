use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use opentelemetry_semantic_conventions::resource::{SERVICE_NAME, SERVICE_VERSION};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::otlp::ExportRuntime;
use crate::trace_tree::TreeProcessor;
use crate::{TARGET, TelemetryConfig, TelemetryError, log, otlp, trace_file};

/// How long a shutdown waits for each way of export, at most. A collector that answers takes
/// milliseconds; one that does not shall not delay a restart.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// What keeps traces going.
///
/// Shut it down before the process ends: finished spans wait in batches.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    // Dropped last, when nothing exports any more.
    _runtime: Option<ExportRuntime>,
}

/// Sets up logs and traces for the whole process.
///
/// # Errors
///
/// See [`TelemetryError`]. Nothing is installed then.
pub fn init(config: TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (dispatch, telemetry) = build(config)?;
    tracing::dispatcher::set_global_default(dispatch)?;
    Ok(telemetry)
}

/// Sets up logs and traces without installing them: use the dispatcher as a scope's default.
///
/// # Errors
///
/// See [`TelemetryError`].
pub fn build(config: TelemetryConfig) -> Result<(Dispatch, Telemetry), TelemetryError> {
    let TelemetryConfig {
        log,
        trace_file,
        trace_tree,
        otlp,
    } = config;
    let log = log::layer(&log, std::io::stderr)?;

    let tracing = trace_file.is_some() || trace_tree.is_some() || otlp.is_some();
    if !tracing {
        let telemetry = Telemetry {
            provider: None,
            _runtime: None,
        };
        return Ok((dispatch(None, log), telemetry));
    }

    // The sampler and its argument come from the environment, `parentbased_always_on` by default.
    let mut provider = SdkTracerProvider::builder().with_resource(resource());
    let mut runtime = None;
    if let Some(path) = trace_file {
        provider = provider.with_span_processor(trace_file::processor(&path)?);
    }
    if let Some(tree) = trace_tree {
        provider = provider.with_span_processor(TreeProcessor::new(tree));
    }
    // Last: shutdown goes in this order, and only a collector can make it wait.
    if let Some(config) = otlp {
        let (processor, exports) = otlp::processor(&config)?;
        provider = provider.with_span_processor(processor);
        runtime = Some(exports);
    }
    let provider = provider.build();
    let tracer = provider.tracer("headwater");
    let telemetry = Telemetry {
        provider: Some(provider),
        _runtime: runtime,
    };
    Ok((dispatch(Some(tracer), log), telemetry))
}

/// What the spans are of: by `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or else Headwater.
fn resource() -> Resource {
    let resource = Resource::builder()
        .with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .build();
    let named = resource
        .get(&Key::from_static_str(SERVICE_NAME))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named {
        return resource;
    }
    Resource::builder()
        .with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .with_service_name("headwater")
        .build()
}

/// What the log is layered on, and what traces are layered on.
type Logged = Layered<log::LogLayer, Registry>;

/// Puts the layers together.
pub(crate) fn dispatch(tracer: Option<SdkTracer>, log: log::LogLayer) -> Dispatch {
    let logged = tracing_subscriber::registry().with(log);
    match tracer {
        Some(tracer) => Dispatch::new(logged.with(trace_layer(tracer))),
        // Not a layer of `None`: that counts as one without a filter of its own, which keeps every
        // callsite enabled. So a request span costs one look at its callsite.
        None => Dispatch::new(logged),
    }
}

/// Our request spans, and nothing that `tracing-opentelemetry` would add to them.
fn trace_layer(tracer: SdkTracer) -> impl Layer<Logged> {
    let ours: FilterFn = FilterFn::new(|meta| meta.is_span() && meta.target() == TARGET);
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
}

impl Telemetry {
    /// Whether anybody traces.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.provider.is_some()
    }

    /// Exports what is finished, and stops. Spans that end later are lost.
    ///
    /// Blocks for three seconds at most for each of trace file and collector, also if the collector
    /// does not answer, and says in the log if spans were lost. It needs no runtime of the caller's
    /// to make progress.
    pub fn shutdown(self) {
        let Some(provider) = &self.provider else {
            return;
        };
        if let Err(error) = provider.shutdown_with_timeout(SHUTDOWN) {
            tracing::warn!(%error, "the last traces could not be exported in time and are lost");
        }
    }
}

#[cfg(test)]
mod tests;
