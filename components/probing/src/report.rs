use std::collections::BTreeMap;
use std::fmt::Write;

use crate::json;

/// The result of an outgoing request.
#[derive(Default)]
pub struct Report {
    pub status: Option<u16>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes of the body that were read.
    pub body: Vec<u8>,
    /// The number of these bytes; `body` keeps only the beginning of long bodies.
    pub length: u64,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// The first failure.
    pub failure: Option<Failure>,
    /// The failure of sending the body, as the sending itself reports it.
    pub sent: Option<Failure>,
}

/// A failure: the step that reported it, the name of the case in the WIT, and its payload, as JSON.
#[derive(Clone)]
pub struct Failure {
    pub phase: &'static str,
    pub name: &'static str,
    pub payload: String,
}

/// The number of requests by result.
#[derive(Default)]
pub struct Outcomes(BTreeMap<String, usize>);

/// The number of body bytes that are reported.
const KEPT: usize = 256;

impl Report {
    /// Creates the report of a failed request.
    pub fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Records a failure, if it is the first.
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Records bytes of the response's body.
    pub fn read(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = KEPT.saturating_sub(self.body.len());
        self.body.extend(&bytes[..bytes.len().min(room)]);
    }

    /// Converts the report to JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{\"status\":");
        match self.status {
            Some(status) => text.push_str(&status.to_string()),
            None => text.push_str("null"),
        }
        text.push_str(",\"headers\":");
        json::fields(&mut text, &self.headers);
        let _ = write!(text, ",\"length\":{},\"body\":", self.length);
        json::string(&mut text, &String::from_utf8_lossy(&self.body));
        text.push_str(",\"trailers\":");
        json::fields(&mut text, &self.trailers);
        for (name, failure) in [("failure", &self.failure), ("sent", &self.sent)] {
            let _ = write!(text, ",\"{name}\":");
            match failure {
                Some(failure) => failure.write(&mut text),
                None => text.push_str("null"),
            }
        }
        text.push_str("}\n");
        text
    }
}

impl Failure {
    /// Creates a failure without a payload.
    pub fn new(phase: &'static str, name: &'static str) -> Self {
        Self::with(phase, (name, "null".to_owned()))
    }

    /// Creates a failure with a payload, as `error_code!` and similar functions return it.
    pub fn with(phase: &'static str, (name, payload): (&'static str, String)) -> Self {
        Self {
            phase,
            name,
            payload,
        }
    }

    fn write(&self, text: &mut String) {
        let Self {
            phase,
            name,
            payload,
        } = self;
        let _ = write!(
            text,
            "{{\"phase\":\"{phase}\",\"error\":\"{name}\",\"payload\":{payload}}}"
        );
    }
}

impl Outcomes {
    /// Counts a request.
    pub fn count(&mut self, report: &Report) {
        let outcome = match (&report.failure, report.status) {
            (Some(failure), _) => failure.name.to_owned(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "nothing".to_owned(),
        };
        *self.0.entry(outcome).or_default() += 1;
    }

    /// Converts the counts to JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (nth, (outcome, count)) in self.0.iter().enumerate() {
            text.push_str(if nth == 0 { "" } else { "," });
            json::string(&mut text, outcome);
            let _ = write!(text, ":{count}");
        }
        text.push_str("}\n");
        text
    }
}
