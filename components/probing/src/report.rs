use std::collections::BTreeMap;
use std::fmt::Write;

use crate::json;

/// What became of an outgoing request.
#[derive(Default)]
pub struct Report {
    pub status: Option<u16>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// What was read of the body.
    pub body: Vec<u8>,
    /// How long that is; of long bodies, only the beginning is kept in `body`.
    pub length: u64,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// What went wrong first.
    pub failure: Option<Failure>,
    /// How the sending of the body ended, by its own account.
    pub sent: Option<Failure>,
}

/// A failure: where it showed, the name of the case in the WIT, and what it carries, as JSON.
#[derive(Clone)]
pub struct Failure {
    pub phase: &'static str,
    pub name: &'static str,
    pub payload: String,
}

/// How many requests ended how.
#[derive(Default)]
pub struct Outcomes(BTreeMap<String, usize>);

/// So much of a body is told.
const KEPT: usize = 256;

impl Report {
    /// A request that failed.
    pub fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Notes a failure, if it is the first.
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Notes bytes of the response's body.
    pub fn read(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = KEPT.saturating_sub(self.body.len());
        self.body.extend(&bytes[..bytes.len().min(room)]);
    }

    /// As JSON.
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
    /// One that carries nothing.
    pub fn new(phase: &'static str, name: &'static str) -> Self {
        Self::with(phase, (name, "null".to_owned()))
    }

    /// One that carries something, as `error_code!` and its like give it.
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

    /// As JSON.
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
