//! Reads from a host's log how a service's instances start and end.

use anyhow::{Result, ensure};

use crate::output::Output;

/// The value of `--log` that makes a host log the life of its instances.
pub const LOG: &str = "headwater_runtime=debug,info";

/// The instances of one service of a host that logs with [`LOG`].
#[derive(Debug, Clone)]
pub struct Instances {
    log: Output,
    service: String,
}

impl Instances {
    /// Returns the instances of `service`.
    #[must_use]
    pub fn of(service: &str, log: &Output) -> Self {
        Self {
            log: log.clone(),
            service: service.to_owned(),
        }
    }

    /// Returns how many instances have started.
    #[must_use]
    pub fn started(&self) -> usize {
        let lines = self.log.lines();
        lines.iter().filter(|line| self.has_started(line)).count()
    }

    /// Waits until `count` instances have started, and checks that no more did. Reading the log
    /// takes a moment.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long, or more have started.
    pub async fn wait_started(&self, count: usize) -> Result<()> {
        let what = format!("an instance of {} is started", self.service);
        self.log
            .wait_for_lines(&what, count, |line| self.has_started(line))
            .await?;
        let started = self.started();
        ensure!(
            started == count,
            "{started} instances were started, not {count}"
        );
        Ok(())
    }

    /// Returns how many instances began to retire for this cause.
    #[must_use]
    pub fn retired(&self, cause: &str) -> usize {
        let lines = self.log.lines();
        let retired = lines.iter().filter(|line| self.has_retired(line, cause));
        retired.count()
    }

    /// Waits until `count` instances began to retire for this cause.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_retired(&self, count: usize, cause: &str) -> Result<()> {
        let what = format!("an instance of {} retires: {cause}", self.service);
        self.log
            .wait_for_lines(&what, count, |line| self.has_retired(line, cause))
            .await
    }

    /// Waits until `count` instances have ended or failed.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_gone(&self, count: usize) -> Result<()> {
        let what = format!("an instance of {} is gone", self.service);
        self.log
            .wait_for_lines(&what, count, |line| self.is_gone(line))
            .await
    }

    /// Returns how many instances have ended or failed.
    #[must_use]
    pub fn gone(&self) -> usize {
        let lines = self.log.lines();
        lines.iter().filter(|line| self.is_gone(line)).count()
    }

    fn has_started(&self, line: &str) -> bool {
        line.contains("instance started") && has(line, "service", &self.service)
    }

    fn has_retired(&self, line: &str, cause: &str) -> bool {
        line.contains("instance retired")
            && has(line, "service", &self.service)
            && has(line, "cause", cause)
    }

    fn is_gone(&self, line: &str) -> bool {
        (line.contains("instance ended") || line.contains("instance failed"))
            && has(line, "service", &self.service)
    }
}

/// Returns true if a log line has a field with this value, quoted or not.
fn has(line: &str, field: &str, value: &str) -> bool {
    line.split_whitespace().any(|word| {
        let named = word
            .strip_prefix(field)
            .and_then(|rest| rest.strip_prefix('='));
        named.is_some_and(|found| found.trim_matches('"') == value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_lines_of_the_service_count() {
        let text = "DEBUG p: instance started service=a instance=0\n\
                    DEBUG p: instance started service=ab instance=1\n\
                    DEBUG p: instance retired service=\"a\" instance=0 cause=\"served\"\n\
                    DEBUG p: instance failed service=a instance=0 cause=a trap; service=x\n";
        let log = Output::capture(text.as_bytes());
        log.ended().await.unwrap();
        let instances = Instances::of("a", &log);
        assert_eq!(instances.started(), 1);
        assert_eq!(instances.retired("served"), 1);
        assert_eq!(instances.retired("idle"), 0);
        instances.wait_gone(1).await.unwrap();
        instances.wait_gone(2).await.unwrap_err();
    }
}
