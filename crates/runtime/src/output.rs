use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::RequestScope;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line, in bytes; a longer one goes on in the next.
const LONGEST_LINE: usize = 8 << 10;

/// How many bytes of one stream are logged: a guest that does nothing but print should fill a
/// screen, not a disk.
const MOST_BYTES: usize = 1 << 20;

/// A guest's stdout or stderr: each line becomes a log record.
///
/// Each stream that a guest opens has a buffer of its own, so that no line is glued to another's.
#[derive(Debug, Clone)]
pub struct GuestOutput {
    service: Arc<str>,
    stream: &'static str,
    scope: Option<Arc<RequestScope>>,
}

/// One stream of a guest.
struct GuestStream {
    output: GuestOutput,
    lines: Lines,
}

impl GuestOutput {
    /// The standard output of a service's guest.
    #[must_use]
    pub fn stdout(service: Arc<str>) -> Self {
        Self {
            service,
            stream: "stdout",
            scope: None,
        }
    }

    /// The standard error of a service's guest.
    #[must_use]
    pub fn stderr(service: Arc<str>) -> Self {
        Self {
            service,
            stream: "stderr",
            scope: None,
        }
    }

    /// The same output of an instance that has this request only; each record names it.
    #[must_use]
    pub fn of_request(mut self, scope: Arc<RequestScope>) -> Self {
        self.scope = Some(scope);
        self
    }

    fn open(&self) -> GuestStream {
        GuestStream {
            output: self.clone(),
            lines: Lines::default(),
        }
    }

    fn emit(&self, line: &str) {
        let request_id = self
            .scope
            .as_ref()
            .map(|scope| tracing::field::display(scope.id()));
        tracing::info!(
            target: "headwater::guest",
            service = %self.service,
            stream = self.stream,
            request_id,
            "{line}"
        );
    }
}

impl GuestStream {
    fn append(&mut self, bytes: &[u8]) {
        let Self { output, lines } = self;
        lines.push(bytes, |line| output.emit(line));
    }
}

impl Drop for GuestStream {
    /// A last line without a line feed counts too.
    fn drop(&mut self) {
        let Self { output, lines } = self;
        lines.finish(|line| output.emit(line));
    }
}

/// Cuts bytes into printable lines.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    seen: usize,
    /// The bound was reached, and the log says so.
    cut: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        if self.cut {
            return;
        }
        let room = (MOST_BYTES - self.seen).min(bytes.len());
        self.seen += room;
        for piece in bytes[..room].split_inclusive(|byte| *byte == b'\n') {
            let (mut text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            while self.partial.len() + text.len() > LONGEST_LINE {
                let (now, later) = text.split_at(LONGEST_LINE - self.partial.len());
                self.partial.extend_from_slice(now);
                self.flush(&mut emit);
                text = later;
            }
            self.partial.extend_from_slice(text);
            if ends {
                self.flush(&mut emit);
            }
        }
        if room < bytes.len() {
            self.cut = true;
            self.finish(&mut emit);
            emit("(the guest printed more than is logged of one stream)");
        }
    }

    fn finish(&mut self, mut emit: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.flush(&mut emit);
        }
    }

    fn flush(&mut self, emit: &mut impl FnMut(&str)) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        if !line.is_empty() {
            emit(&printable(line));
        }
        self.partial.clear();
    }
}

/// Control characters could make a log line look like several, or move a terminal's cursor.
fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.open())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for write in writes {
            lines.push(write, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_put_together_from_writes() {
        assert_eq!(lines(&[b"a", b"b\nc\r\n", b"\nlast"]), ["ab", "c", "last"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_character_cut_in_two_writes_is_whole() {
        let text = "é".as_bytes();
        assert_eq!(lines(&[&text[..1], &text[1..]]), ["é"]);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            lines(&[b"a\x1b[2J\tb\0\xff\n"]),
            ["a\\u{1b}[2J\tb\\u{0}\u{fffd}"]
        );
    }

    #[test]
    fn lines_and_streams_are_bounded() {
        let long = vec![b'a'; LONGEST_LINE + 1];
        assert_eq!(lines(&[&long]), ["a".repeat(LONGEST_LINE), "a".to_owned()]);

        let many = "a\n".repeat(MOST_BYTES);
        let (most, rest) = many.as_bytes().split_at(MOST_BYTES);
        for writes in [[many.as_bytes(), rest], [most, rest]] {
            let found = lines(&writes);
            assert_eq!(found.len(), MOST_BYTES / 2 + 1);
            assert!(found.last().unwrap().contains("more than is logged"));
        }
    }
}
