//! Telemetry: logs, traces, metrics and their export, and the propagation of trace context.
//!
//! A request has one [`ServerSpan`], made by the front. Behind it, each link of a chain of middlewares has a
//! [`LinkSpan`]. Each outgoing request has a [`ClientSpan`],
//! a child of the server span of the request that it is attributed to. Parents are passed
//! explicitly, never taken from the current span: a reused instance's task is not the request's
//! task, and a guest may call out after its request's span has ended.
//!
//! [`AccessLog`] logs each finished request. [`Metrics`] measures; the default measures nothing and
//! costs nothing. No output waits for its reader: see [`Outputs`].
//!
//! ```
//! use headwater_telemetry::{TelemetryConfig, build};
//!
//! // `init` does the same and installs the dispatcher for the whole process.
//! let (dispatch, telemetry) = build(TelemetryConfig::default())?;
//! tracing::dispatcher::with_default(&dispatch, || tracing::info!("serving"));
//! telemetry.shutdown();
//! # Ok::<(), headwater_telemetry::TelemetryError>(())
//! ```

mod access;
pub mod attributes;
mod audit_bound;
mod audit_file;
mod baggage;
mod config;
pub mod console;
mod environment;
mod error;
mod guest_line;
mod limit_log;
mod log;
mod log_intervals;
pub mod metrics;
mod otlp;
mod output;
mod pipeline;
mod prometheus;
pub mod propagation;
mod resource;
mod sampling;
mod span;
mod timestamp;
mod trace_file;
mod trace_tree;
mod tracestate;

pub use access::{AccessConfig, AccessEntry, AccessLog, AccessOutput, AccessStart};
pub use audit_bound::AuditBound;
pub use config::{LogConfig, MetricsConfig, OtlpConfig, OtlpProtocol, TelemetryConfig, TreeConfig};
pub use error::TelemetryError;
pub use headwater_core::{AccessFormat, LogFormat, ServiceName};
pub use limit_log::{Limit, LimitLog, Setting};
pub use log::LogLevel;
pub use log_intervals::LogIntervals;
pub use metrics::Metrics;
pub use output::{FileConfig, Output, OutputCounts, Outputs, Rotation};
pub use pipeline::{Telemetry, build, init};
pub use prometheus::Prometheus;
pub use span::{
    CallOutcome, CallSpan, ClientRequest, ClientSpan, GuestCall, LinkRequest, LinkSpan,
    ServerRequest, ServerSpan, TARGET,
};

#[cfg(test)]
mod test_support;
