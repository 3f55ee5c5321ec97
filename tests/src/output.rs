//! Reads the output of a process line by line.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::within;

/// The lines that a process has written to one of its streams until now.
#[derive(Debug, Clone)]
pub struct Output {
    lines: watch::Receiver<Vec<String>>,
    reading: Arc<watch::Sender<bool>>,
}

impl Output {
    /// Collects the output of `stream` until its end.
    pub fn capture(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, lines) = watch::channel(Vec::new());
        let reading = Arc::new(watch::Sender::new(true));
        let mut may_read = reading.subscribe();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                // An error means that nothing can stop it any more.
                let _ = may_read.wait_for(|reading| *reading).await;
                // Bytes instead of `lines()`: output that is not UTF-8 must not end the capture.
                if !matches!(stream.read_until(b'\n', &mut line).await, Ok(1..)) {
                    break;
                }
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                line.clear();
                sender.send_modify(|lines| lines.push(text));
            }
        });
        Self { lines, reading }
    }

    /// Stops reading after a few KiB, so that the writer finds the pipe full.
    pub fn stall(&self) {
        self.reading.send_replace(false);
    }

    /// Continues to read.
    pub fn resume(&self) {
        self.reading.send_replace(true);
    }

    /// Returns the lines until now.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Returns the text until now.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines.borrow();
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Waits for the first line that `wanted` accepts.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream ends without it, or it takes too long.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut lines = self.lines.clone();
        // Each line is checked once: there may be hundreds of thousands.
        let mut seen = 0;
        let found = lines.wait_for(|lines| {
            let new = lines.get(seen..).unwrap_or_default();
            seen = lines.len();
            new.iter().any(|line| wanted(line))
        });
        within(what, found)
            .await?
            .with_context(|| format!("the output ended before {what}"))?;
        self.lines()
            .into_iter()
            .find(|line| wanted(line))
            .context("a line that was there is gone")
    }

    /// Waits until there are `count` lines that `wanted` accepts.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream ends first, or it takes too long.
    pub async fn wait_for_lines(
        &self,
        what: &str,
        count: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let number = |lines: &[String]| lines.iter().filter(|line| wanted(line)).count();
        let mut lines = self.lines.clone();
        let waited = within(what, lines.wait_for(|lines| number(lines) >= count)).await;
        let waited = match waited {
            Ok(waited) => waited.map(drop).context("the output has ended"),
            Err(late) => Err(late),
        };
        waited.with_context(|| {
            let lines = number(&self.lines());
            format!(
                "{lines} of {count} lines: {what}; the output:\n{}",
                self.text()
            )
        })
    }

    /// Waits for the line of this number, counted from 0; `None` if the stream ends first.
    pub async fn line(&self, number: usize) -> Option<String> {
        let mut lines = self.lines.clone();
        // An error means that the stream has ended; the line may exist anyway.
        let _ = lines.wait_for(|lines| lines.len() > number).await;
        self.lines.borrow().get(number).cloned()
    }

    /// Waits for the stream's end.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn ended(&self) -> Result<()> {
        let mut lines = self.lines.clone();
        let _closed = within("the end of the output", lines.wait_for(|_| false)).await?;
        Ok(())
    }
}
