//! The expiry of listeners' certificates, as a metric.

use std::collections::BTreeMap;

use headwater_server::Certificates;
use headwater_telemetry::attributes::CERTIFICATE_FILE;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

pub(crate) fn observe_certificates(meter: &Meter, certificates: &Certificates) {
    let observed = certificates.clone();
    meter
        .i64_observable_gauge("headwater.tls.certificate.not_after")
        .with_unit("s")
        .with_description("Expiry of a listener's certificate, in seconds since 1970, by its file")
        .with_callback(move |instrument| {
            // Several listeners may show the same file; the one that expires first counts.
            let mut ends: BTreeMap<String, i64> = BTreeMap::new();
            for (path, expires) in observed.expiries() {
                let end = ends.entry(path.display().to_string()).or_insert(expires);
                *end = expires.min(*end);
            }
            for (path, expires) in ends {
                instrument.observe(expires, &[KeyValue::new(CERTIFICATE_FILE, path)]);
            }
        })
        .build();
}
