//! The load generator of nghttp2.

use anyhow::{Context, Result};

use crate::programs::Program;

/// The program `h2load`, which opens connections and sends requests on them as fast as they are
/// answered.
#[derive(Debug)]
pub struct H2load(Program);

/// The result of a run.
#[derive(Debug)]
pub struct Load {
    /// Requests to send.
    pub total: u64,
    /// Requests that were sent.
    pub started: u64,
    /// Of those, the requests that were answered completely and successfully.
    pub succeeded: u64,
    /// Requests that failed or could not be sent.
    pub failed: u64,
    /// Answers by the first digit of their status, from 2 to 5.
    pub statuses: [u64; 4],
    /// The whole output.
    pub said: String,
}

impl H2load {
    /// Finds the program. If there is none, prints so and returns `None`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Program::h2load().map(Self)
    }

    /// Runs h2load with these arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started, does not end, or prints no counts.
    pub async fn run(&self, arguments: &[&str]) -> Result<Load> {
        let ran = self.0.run(arguments).await?;
        let said = ran.text() + &ran.stderr;
        Load::read(&said).with_context(|| format!("h2load {arguments:?} says:\n{said}"))
    }
}

impl Load {
    fn read(said: &str) -> Option<Self> {
        let numbers = |line: &str| -> Option<Vec<u64>> {
            let counts = said.lines().find_map(|said| said.strip_prefix(line))?;
            let words = counts.split(", ");
            let numbers = words.map(|words| words.split_whitespace().next()?.parse().ok());
            numbers.collect()
        };
        let requests = numbers("requests: ")?;
        let &[total, started, _done, succeeded, failed, ..] = requests.as_slice() else {
            return None;
        };
        Some(Self {
            total,
            started,
            succeeded,
            failed,
            statuses: numbers("status codes: ")?.try_into().ok()?,
            said: said.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_counts_is_read() {
        let said = "finished in 2.13s\n\
                    requests: 1000 total, 17 started, 17 done, 16 succeeded, 984 failed, 983 errored, 0 timeout\n\
                    status codes: 16 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        let load = Load::read(said).unwrap();
        assert_eq!((load.total, load.started), (1000, 17));
        assert_eq!((load.succeeded, load.failed), (16, 984));
        assert_eq!(load.statuses, [16, 0, 0, 1]);
        assert!(Load::read("h2load: invalid option").is_none());
    }
}
