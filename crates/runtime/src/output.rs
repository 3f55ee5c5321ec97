use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// The longest line that is logged whole. A longer one is logged in pieces, so that a guest that
/// never ends its line takes no memory for it.
const MAX_LINE: usize = 4 << 10;

/// A guest's stdout or stderr: each line becomes a log record.
#[derive(Clone)]
pub struct GuestOutput {
    service: Arc<str>,
    stream: &'static str,
}

impl GuestOutput {
    /// The standard output of a service's instance.
    #[must_use]
    pub fn stdout(service: Arc<str>) -> Self {
        Self {
            service,
            stream: "stdout",
        }
    }

    /// The standard error of a service's instance.
    #[must_use]
    pub fn stderr(service: Arc<str>) -> Self {
        Self {
            service,
            stream: "stderr",
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineLog {
            output: self.clone(),
            line: Vec::new(),
        })
    }
}

/// Collects a line and logs it.
struct LineLog {
    output: GuestOutput,
    line: Vec<u8>,
}

impl LineLog {
    fn log(&mut self) {
        // Control characters are escaped, so that a guest can neither forge a log line nor drive
        // the terminal that shows it.
        let line = String::from_utf8_lossy(&self.line);
        let line: String = line
            .trim_end_matches('\r')
            .chars()
            .flat_map(|character| {
                let escape = character.is_control() && character != '\t';
                let escaped = escape.then(|| character.escape_default());
                let plain = (!escape).then_some(character);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect();
        self.line.clear();
        if line.is_empty() {
            return;
        }
        tracing::info!(
            target: "headwater::guest",
            service = %self.output.service,
            stream = self.output.stream,
            "{line}"
        );
    }
}

impl AsyncWrite for LineLog {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        for &byte in bytes {
            if byte == b'\n' {
                self.log();
            } else {
                self.line.push(byte);
                if self.line.len() == MAX_LINE {
                    self.log();
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.log();
        }
    }
}
