use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Metadata};
use tracing_subscriber::filter::{FilterFn, Filtered, filter_fn};
use tracing_subscriber::layer::{Identity, Layered, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::metrics::Metrics;
use crate::otlp::ExportRuntime;
use crate::output::{Output, OutputWriter, Outputs, Standard};
use crate::prometheus::Prometheus;
use crate::resource::{self, Resources};
use crate::sampling::{DecidedIds, Sampling};
use crate::trace_tree::TreeProcessor;
use crate::{
    AccessLog, LogLevel, TARGET, TelemetryConfig, TelemetryError, TreeConfig, audit_file, log,
    otlp, trace_file,
};

/// The maximum time that a shutdown waits for exports, and then for outputs. A collector that answers takes
/// milliseconds; a dead one, or a reader that does not read the log, must not delay a restart.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// The instrumentation scope of all spans and metrics.
const SCOPE: &str = "headwater";

/// The running logs, traces and metrics.
///
/// Call [`shutdown`](Self::shutdown) before the process ends: finished spans wait in batches.
#[derive(Debug)]
pub struct Telemetry {
    tracers: Option<SdkTracerProvider>,
    meters: Option<SdkMeterProvider>,
    metrics: Metrics,
    prometheus: Option<Prometheus>,
    access: AccessLog,
    outputs: Outputs,
    level: LogLevel,
    // Dropped last, when nothing is exported any more.
    runtime: Option<ExportRuntime>,
}

/// Sets up logs and traces for the whole process. Installs nothing on error.
///
/// # Errors
///
/// See [`TelemetryError`].
pub fn init(config: TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (dispatch, telemetry) = build(config)?;
    tracing::dispatcher::set_global_default(dispatch)?;
    Ok(telemetry)
}

/// Sets up logs and traces without installing them. Use the dispatcher as a scope's default.
///
/// # Errors
///
/// See [`TelemetryError`].
pub fn build(config: TelemetryConfig) -> Result<(Dispatch, Telemetry), TelemetryError> {
    let TelemetryConfig {
        log,
        access,
        audit_file,
        trace_file,
        trace_tree,
        service_name,
        otlp,
        metrics,
        prometheus,
    } = config;
    let mut outputs = Vec::new();
    let mut open = |opened: Result<OutputWriter, TelemetryError>| {
        let opened = opened?;
        outputs.push(opened.clone());
        Ok::<_, TelemetryError>(opened)
    };
    let stderr = open(OutputWriter::standard(Output::Log, Standard::Error))?;
    let (mut log, level) = log::layer(&log, stderr)?;
    if let Some(file) = audit_file {
        let file = open(OutputWriter::file(Output::AuditLog, &file))?;
        log = log.and_then(audit_file::layer(file)).boxed();
    }
    let trace_file = trace_file
        .map(|file| open(OutputWriter::file(Output::TraceFile, &file)))
        .transpose()?;
    let trace_tree = trace_tree
        .map(|TreeConfig { writer, color }| {
            let writer = match writer {
                None => OutputWriter::standard(Output::TraceTree, Standard::Error),
                Some(writer) => OutputWriter::to_writer(Output::TraceTree, writer),
            };
            Ok::<_, TelemetryError>(TreeProcessor::new(open(writer)?, color))
        })
        .transpose()?;
    let access = access
        .map(|config| AccessLog::start(&config))
        .transpose()?
        .unwrap_or_default();
    outputs.extend(access.writer().cloned());
    let outputs: Outputs = outputs.into_iter().collect();
    let tracing = trace_file.is_some() || trace_tree.is_some() || otlp.is_some();
    let runtime = (otlp.is_some() || metrics.is_some())
        .then(ExportRuntime::start)
        .transpose()?;
    let mut telemetry = Telemetry {
        tracers: None,
        meters: None,
        metrics: Metrics::default(),
        prometheus: None,
        access,
        outputs,
        level,
        runtime,
    };

    let resource = resource::host();
    if metrics.is_some() || prometheus {
        let mut provider = SdkMeterProvider::builder().with_resource(resource.clone());
        if let (Some(config), Some(runtime)) = (metrics, &telemetry.runtime) {
            provider = provider.with_reader(otlp::metrics::reader(&config, runtime)?);
        }
        if prometheus {
            let (reader, prometheus) = Prometheus::new()?;
            provider = provider.with_reader(reader);
            telemetry.prometheus = Some(prometheus);
        }
        let provider = provider.build();
        telemetry.metrics = Metrics::new(provider.meter(SCOPE));
        telemetry.metrics.observe_outputs(&telemetry.outputs);
        telemetry.meters = Some(provider);
    }
    if !tracing {
        return Ok((dispatch(None, log), telemetry));
    }

    let mut provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(DecidedIds::default());
    if let Some(file) = trace_file {
        provider =
            provider.with_span_processor(trace_file::processor(file, Resources::new(service_name)));
    }
    if let Some(tree) = trace_tree {
        provider = provider.with_span_processor(tree);
    }
    // Last: shutdown follows this order, and only a collector can make it wait.
    if let (Some(config), Some(runtime)) = (otlp, &telemetry.runtime) {
        provider = provider.with_span_processor(otlp::traces::processor(
            &config,
            runtime,
            Resources::new(service_name),
        )?);
    }
    let provider = provider.build();
    let tracer = provider.tracer(SCOPE);
    telemetry.tracers = Some(provider);
    // The sampler and its argument come from the environment, `parentbased_always_on` by default.
    let traces = Some((tracer, Sampling::from_environment()));
    Ok((dispatch(traces, log), telemetry))
}

type WithLog = Layered<log::LogLayer, Registry>;

type Logged = Layered<Filtered<Identity, FilterFn, WithLog>, WithLog>;

/// Adds to the log a filter that rejects everything, so that all filters are asked for each event and span
/// that any of them accepts.
///
/// A filter's answer is kept for the thread until an event or a span follows. If all filters always accept a
/// callsite, they are not asked; its event then uses the answers for the last callsite that was asked about
/// without an event, and is lost (tracing issue 2519). `tracing::enabled!` in a library asks so.
fn logged(log: log::LogLayer) -> Logged {
    let nothing: fn(&Metadata<'_>) -> bool = |_| false;
    let asking = Identity::new().with_filter(filter_fn(nothing));
    tracing_subscriber::registry().with(log).with(asking)
}

pub(crate) fn dispatch(traces: Option<(SdkTracer, Sampling)>, log: log::LogLayer) -> Dispatch {
    let logged = logged(log);
    match traces {
        Some((tracer, sampling)) => {
            let traced = tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_context_activation(false);
            // One filter for both, as each costs time for each span and event.
            Dispatch::new(logged.with(traced.and_then(sampling).with_filter(ours())))
        }
        // Not a layer of `None`: it counts as one without a filter, which keeps every callsite enabled. So a
        // request span costs one look at its callsite.
        None => Dispatch::new(logged),
    }
}

/// Accepts our request spans.
fn ours() -> FilterFn {
    let ours: FilterFn = FilterFn::new(|meta| meta.is_span() && meta.target() == TARGET);
    ours.with_max_level_hint(LevelFilter::INFO)
}

impl Telemetry {
    /// Returns true if traces are made.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.tracers.is_some()
    }

    /// Returns the access log. It does nothing if it is turned off.
    #[must_use]
    pub fn access(&self) -> &AccessLog {
        &self.access
    }

    /// Returns all outputs, with their counts.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Returns the handle of the log's filter.
    #[must_use]
    pub fn log_level(&self) -> &LogLevel {
        &self.level
    }

    /// Returns the metrics as text for Prometheus. None unless the configuration asks for it.
    #[must_use]
    pub fn prometheus(&self) -> Option<&Prometheus> {
        self.prometheus.as_ref()
    }

    /// Returns the metrics. They measure nothing if nobody exports them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Exports and writes what is finished, and stops. Later spans, measurements and access log entries are
    /// lost.
    ///
    /// Blocks for at most three seconds for exports, and then at most three for outputs, even if the
    /// collector does not answer and nobody reads the outputs. Losses are logged. It makes progress without a
    /// runtime of the caller's.
    pub fn shutdown(self) {
        if let Some(runtime) = &self.runtime {
            runtime.stop_after(SHUTDOWN);
        }
        std::thread::scope(|scope| {
            // In parallel with the traces, so that the two wait for a dead collector together; in turn if no
            // thread can be started.
            let metrics = std::thread::Builder::new().spawn_scoped(scope, || self.stop_meters());
            self.stop_tracers();
            match metrics {
                Ok(stopped) => drop(stopped.join()),
                Err(_) => self.stop_meters(),
            }
        });
        self.outputs.flush(SHUTDOWN);
    }

    fn stop_tracers(&self) {
        if let Some(provider) = &self.tracers
            && let Err(error) = provider.shutdown_with_timeout(SHUTDOWN)
        {
            tracing::warn!(%error, "the last traces could not be exported in time and are lost");
        }
    }

    fn stop_meters(&self) {
        // Waits for as long as the export runtime allows.
        if let Some(provider) = &self.meters
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last metrics could not be exported in time and are lost");
        }
    }
}

#[cfg(test)]
mod tests;
