//! The table as JSON, for programs.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::Table;
use crate::table::figures::Metric;
use crate::table::results::{Entry, Outcome, Results};
use crate::table::targets::{self, Checked};

/// Returns one object.
pub(super) fn table(table: &Table) -> Result<String> {
    let Table {
        machine,
        servers,
        effort,
        results,
    } = table;
    let versions: Map<String, Value> = servers
        .iter()
        .map(|(server, version)| ((*server).to_owned(), version.as_str().into()))
        .collect();
    let value = json!({
        "date": machine.date,
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "memory_gib": machine.memory_gib,
            "system": machine.system,
        },
        "versions": versions,
        "rounds": effort.rounds,
        "starts": effort.starts,
        "targets": targets::check(results).iter().map(target).collect::<Vec<_>>(),
        "scenarios": results.iter().map(scenario).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Returns a target. `to` is null if the bound is for a value and not for a ratio.
fn target(target: &Checked) -> Value {
    json!({
        "scenario": target.scenario,
        "metric": target.metric.key(),
        "of": target.of,
        "to": target.to,
        "bound": target.bound,
        "found": target.found,
        "floor": target.floor,
        "verdict": target.verdict.key(),
    })
}

fn scenario(results: &Results) -> Value {
    let ratios: Vec<Value> = results
        .comparisons()
        .iter()
        .map(|comparison| {
            json!({
                "of": comparison.of,
                "to": comparison.to,
                "ratios": metrics(|metric| comparison.ratio(metric)),
            })
        })
        .collect();
    json!({
        "name": results.name,
        "title": results.title,
        "ratios": ratios,
        "servers": results.entries.iter().map(server).collect::<Vec<_>>(),
    })
}

fn server(entry: &Entry) -> Value {
    match &entry.outcome {
        Outcome::Measured(figures) => {
            json!({"name": entry.name, "values": metrics(|metric| figures.value(metric))})
        }
        Outcome::NotHad(why) => json!({"name": entry.name, "not_had": why}),
    }
}

/// Returns the metrics that have a value.
fn metrics(value: impl Fn(Metric) -> Option<f64>) -> Map<String, Value> {
    let all = Metric::ALL.into_iter();
    let all = all.filter_map(|metric| Some((metric.key().to_owned(), value(metric)?.into())));
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_their_bound_and_verdict() {
        let text = table(&super::super::tests::table_with_target()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let all = value["targets"].as_array().unwrap();
        assert_eq!(all[0]["to"], "nginx + fcgiwrap");
        assert_eq!(all[0]["verdict"], "not_measured");
        assert_eq!(all[1]["bound"], 38.0);
        assert_eq!(all[1]["floor"], 25.0);
        assert_eq!(all[1]["to"], Value::Null);
    }

    #[test]
    fn ratios_and_values_are_by_the_names_of_metrics() {
        let text = table(&super::super::tests::table()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let scenario = &value["scenarios"][0];
        assert_eq!(scenario["ratios"][0]["to"], "slow");
        assert_eq!(scenario["ratios"][0]["ratios"]["requests_per_second"], 2.0);
        assert_eq!(
            scenario["servers"][1]["values"]["requests_per_second"],
            500.0
        );
        assert_eq!(scenario["servers"][3]["not_had"], "no package");
        assert_eq!(value["machine"]["cores"], 2);
    }
}
