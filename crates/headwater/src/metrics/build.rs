//! Which build this is, as a metric: its value is 1, and its attributes say it.

use headwater_telemetry::attributes::VERSION;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Makes the instrument that tells the version of Headwater and the machine that it was built for.
pub(crate) fn observe_build(meter: &Meter) {
    let attributes = [
        KeyValue::new(VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("host.arch", std::env::consts::ARCH),
    ];
    meter
        .u64_observable_gauge("headwater.build.info")
        .with_description("1, with the version of Headwater and its platform as attributes")
        .with_callback(move |instrument| instrument.observe(1, &attributes))
        .build();
}
