//! The guests `probe` (0.3) and `probe-p2` (0.2), which make a requested outgoing request and
//! report what they observed.

use std::fmt::{self, Display};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::client::Client;

/// The guests, which should observe the same.
pub const PROBES: [&str; 2] = ["probe", "probe-p2"];

/// A request to a probe; `components/probing/src/plan.rs` has all parameters.
#[derive(Debug, Clone, Default)]
pub struct Ask(String);

/// The observations of a probe.
#[derive(Debug, Clone)]
pub struct Seen(Value);

/// An error as a probe reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The step that the guest was at.
    pub phase: String,
    /// The name of the case in the WIT.
    pub error: String,
    /// Its payload, as JSON.
    pub payload: Value,
}

impl Ask {
    /// Creates a request for this URL.
    #[must_use]
    pub fn to(url: impl Display) -> Self {
        Self::default().with("to", url)
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.to_string().bytes() {
            if byte.is_ascii_alphanumeric() {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
        self
    }

    /// Sets all timeouts to an hour, so that another limit is always reached first.
    #[must_use]
    pub fn patient(self) -> Self {
        const AN_HOUR: u64 = 3_600_000_000_000;
        let connect = self.with("connect", AN_HOUR);
        connect.with("first", AN_HOUR).with("between", AN_HOUR)
    }

    /// Sends this to the probe at this URL.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not answer, or traps.
    pub async fn of(&self, probe: &str) -> Result<Seen> {
        let url = format!("{}/{self}", probe.trim_end_matches('/'));
        let answer = Client::new().get(&url).await?;
        ensure!(answer.status == 200, "{self}: {answer:?}");
        let seen = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{self}: {}", answer.text()))?;
        Ok(Seen(seen))
    }
}

impl Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Seen {
    /// Returns the response's status, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    /// Returns the beginning of the response's body.
    #[must_use]
    pub fn body(&self) -> &str {
        self.0["body"].as_str().unwrap_or_default()
    }

    /// Returns how many bytes of the body were read.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0["length"].as_u64().unwrap_or_default()
    }

    /// Returns the values of a response header.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.0["headers"], name)
    }

    /// Returns the values of a response trailer.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Vec<&str> {
        values(&self.0["trailers"], name)
    }

    /// Returns the first error.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        failure(&self.0["failure"])
    }

    /// Returns the error of sending the request's body.
    #[must_use]
    pub fn sent(&self) -> Option<Failure> {
        failure(&self.0["sent"])
    }

    /// Returns true if the response was complete, and the request had no error.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.status() == Some(200) && self.failure().is_none() && self.sent().is_none()
    }

    /// Returns how many of several requests ended with this status or this error.
    #[must_use]
    pub fn count(&self, outcome: &str) -> u64 {
        self.0[outcome].as_u64().unwrap_or_default()
    }

    /// Returns how many of several requests ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        let outcomes = self.0.as_object();
        outcomes
            .into_iter()
            .flat_map(|outcomes| outcomes.values())
            .filter_map(Value::as_u64)
            .sum()
    }
}

fn values<'a>(fields: &'a Value, name: &str) -> Vec<&'a str> {
    let fields = fields.as_array();
    fields
        .into_iter()
        .flatten()
        .filter(|field| field[0].as_str() == Some(name))
        .filter_map(|field| field[1].as_str())
        .collect()
}

fn failure(value: &Value) -> Option<Failure> {
    let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
    Some(Failure {
        phase: text("phase")?,
        error: text("error")?,
        payload: value.get("payload").cloned().unwrap_or_default(),
    })
}
