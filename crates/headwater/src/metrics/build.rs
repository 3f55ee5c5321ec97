//! The build, as a metric with the value 1 and attributes that describe it.

use headwater_telemetry::attributes::VERSION;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

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
