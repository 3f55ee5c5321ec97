//! The documentation lists every metric, as the code makes it, and no other.

use std::collections::BTreeMap;
use std::sync::Mutex;

use headwater_server::{Endpoint, Server, ServerParams};
use headwater_telemetry::{Metrics, Outputs};
use opentelemetry::metrics::{
    AsyncInstrumentBuilder, Counter, Histogram, HistogramBuilder, InstrumentBuilder,
    InstrumentProvider, ObservableCounter, ObservableGauge, ObservableUpDownCounter, UpDownCounter,
};

use super::*;

const DOCUMENTATION: &str = include_str!("../../../../docs/reference/metrics.md");

/// Records the kind and unit of each instrument, by name.
#[derive(Default)]
struct Noted(Mutex<BTreeMap<String, (String, String)>>);

macro_rules! note {
    ($($function:ident: $builder:ty => $instrument:expr, $kind:literal;)*) => {
        $(fn $function(&self, builder: $builder) -> Made<$builder> {
            let unit = builder.unit.map(|unit| unit.into_owned()).unwrap_or_default();
            let noted = (format!($kind), unit);
            assert!(builder.description.is_some(), "{}", builder.name);
            let known = self.0.lock().unwrap().insert(builder.name.into_owned(), noted);
            assert!(known.is_none(), "two instruments of one name");
            $instrument
        })*
    };
}

type Made<B> = <B as Makes>::Instrument;

/// The instrument that a builder makes.
trait Makes {
    type Instrument;
}

impl<T> Makes for InstrumentBuilder<'_, T> {
    type Instrument = T;
}

impl<T> Makes for HistogramBuilder<'_, T> {
    type Instrument = T;
}

impl<I, M> Makes for AsyncInstrumentBuilder<'_, I, M> {
    type Instrument = I;
}

/// An instrument that does nothing.
struct Silent;

impl<T> opentelemetry::metrics::SyncInstrument<T> for Silent {
    fn measure(&self, _: T, _: &[KeyValue]) {}
}

impl InstrumentProvider for Noted {
    note! {
        u64_counter: InstrumentBuilder<'_, Counter<u64>> => Counter::new(Arc::new(Silent)), "counter";
        i64_up_down_counter: InstrumentBuilder<'_, UpDownCounter<i64>>
            => UpDownCounter::new(Arc::new(Silent)), "up-down counter";
        f64_histogram: HistogramBuilder<'_, Histogram<f64>>
            => Histogram::new(Arc::new(Silent)), "histogram";
        u64_observable_counter: AsyncInstrumentBuilder<'_, ObservableCounter<u64>, u64>
            => ObservableCounter::new(), "counter";
        f64_observable_counter: AsyncInstrumentBuilder<'_, ObservableCounter<f64>, f64>
            => ObservableCounter::new(), "counter";
        i64_observable_up_down_counter:
            AsyncInstrumentBuilder<'_, ObservableUpDownCounter<i64>, i64>
            => ObservableUpDownCounter::new(), "up-down counter";
        u64_observable_gauge: AsyncInstrumentBuilder<'_, ObservableGauge<u64>, u64>
            => ObservableGauge::new(), "gauge";
        i64_observable_gauge: AsyncInstrumentBuilder<'_, ObservableGauge<i64>, i64>
            => ObservableGauge::new(), "gauge";
        f64_observable_gauge: AsyncInstrumentBuilder<'_, ObservableGauge<f64>, f64>
            => ObservableGauge::new(), "gauge";
    }

    // Instruments of any other kind would go unnoticed: add them above first.
}

/// Returns the rows of the table: kind and unit, by name.
fn documented() -> BTreeMap<String, (String, String)> {
    let table = DOCUMENTATION.split("## All of them").nth(1).unwrap();
    table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, name, kind, unit, _, _, _] = cells[..] else {
                panic!("a row of the table has five columns: {line}");
            };
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            (plain(name), (plain(kind), plain(unit)))
        })
        .collect()
}

#[tokio::test]
async fn every_metric_is_documented_with_its_kind_and_unit_and_no_other_is() {
    let noted = Arc::new(Noted::default());
    let meter = Meter::new(noted.clone());
    let metrics = Metrics::new(meter.clone());
    metrics.observe_outputs(&Outputs::default());
    let mut params = ServerParams::default();
    params.listeners[0].endpoint = Endpoint::Tcp(([127, 0, 0, 1], 0).into());
    let server = Server::bind(params).await.unwrap();
    observe_connections(&meter, &server.connections());
    observe_pools(&meter, &ServiceRegistry::default());
    observe_outgoing(&meter, &ServiceRegistry::default());
    observe_services(&meter, &ServiceRegistry::default());
    observe_reloads(&meter, &Reloads::default());
    observe_certificates(&meter, &server.certificates());
    observe_build(&meter);
    observe_process(&meter);
    let made = noted.0.lock().unwrap().clone();
    assert!(made.len() > 10, "{made:?}");
    assert_eq!(documented(), made);
}
