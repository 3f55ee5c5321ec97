//! Metrics as a collector received them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point};

/// The last value of each series, by metric name and attributes.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<String, BTreeMap<Attributes, Value>>);

/// The attributes of a series, as text.
pub type Attributes = BTreeMap<String, String>;

/// The value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// The value of a counter.
    Number(f64),
    /// The values of a histogram.
    Histogram {
        /// The number of values.
        count: u64,
        /// The sum of the values.
        sum: f64,
    },
}

impl Metrics {
    /// Adds an export: later values replace earlier ones.
    pub(crate) fn merge(&mut self, export: ExportMetricsServiceRequest) {
        let metrics = export
            .resource_metrics
            .into_iter()
            .flat_map(|resource| resource.scope_metrics)
            .flat_map(|scope| scope.metrics);
        for metric in metrics {
            let points = points(&metric);
            self.0.entry(metric.name).or_default().extend(points);
        }
    }

    /// Iterates over all metrics, with their series.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<Attributes, Value>)> {
        self.0.iter().map(|(name, series)| (name.as_str(), series))
    }

    /// Returns the sum over the series that have at least these attributes; a histogram counts by
    /// its number of values. Returns `None` if there is no such series.
    #[must_use]
    pub fn total(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let found = self.values(name, attributes).map(|value| match value {
            Value::Number(number) => number,
            Value::Histogram { count, .. } => count as f64,
        });
        found.reduce(|sum, value| sum + value)
    }

    /// Returns the same sum; a histogram counts by the sum of its values.
    #[must_use]
    pub fn sum(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let found = self.values(name, attributes).map(|value| match value {
            Value::Number(number) => number,
            Value::Histogram { sum, .. } => sum,
        });
        found.reduce(|sum, value| sum + value)
    }

    fn values(&self, name: &str, attributes: &[(&str, &str)]) -> impl Iterator<Item = Value> {
        let series = self.0.get(name).into_iter().flatten();
        series
            .filter(|(has, _)| {
                attributes
                    .iter()
                    .all(|(key, value)| has.get(*key).is_some_and(|has| has == value))
            })
            .map(|(_, value)| *value)
    }
}

fn points(metric: &Metric) -> Vec<(Attributes, Value)> {
    let numbers = |points: &[NumberDataPoint]| points.iter().map(number).collect();
    match &metric.data {
        Some(Data::Gauge(gauge)) => numbers(&gauge.data_points),
        Some(Data::Sum(sum)) => numbers(&sum.data_points),
        Some(Data::Histogram(histogram)) => {
            let points = histogram.data_points.iter().map(|point| {
                let value = Value::Histogram {
                    count: point.count,
                    sum: point.sum(),
                };
                (attributes(&point.attributes), value)
            });
            points.collect()
        }
        _ => Vec::new(),
    }
}

fn number(point: &NumberDataPoint) -> (Attributes, Value) {
    let number = match point.value {
        Some(number_data_point::Value::AsDouble(number)) => number,
        Some(number_data_point::Value::AsInt(number)) => number as f64,
        None => f64::NAN,
    };
    (attributes(&point.attributes), Value::Number(number))
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    let text = |value: &AnyValue| match &value.value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: &KeyValue| {
        let value = pair.value.as_ref().map(text);
        (pair.key.clone(), value.unwrap_or_default())
    };
    pairs.iter().map(pair).collect()
}
