//! Reads answers of HTTP/1.1 without a library: the generator that sends at fixed times has to cost
//! little, because it shares the cores with the server.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

/// The longest head that is read, and the size of one read.
const BUFFER: usize = 16 << 10;

/// The answers of one connection.
pub(crate) struct Answers {
    buffer: Box<[u8]>,
}

/// The length of a body, by the head of its answer.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// A body in chunks, up to the byte that was read last.
#[derive(Debug, Default)]
struct Chunks {
    state: State,
    length: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// In the size of a chunk, of which this much is known.
    #[default]
    Start,
    Size(usize),
    Extension(usize),
    Data(usize),
    /// After the data of a chunk.
    DataEnd,
    /// After the last chunk; the line has no character yet, or it has one.
    TrailerStart,
    Trailer,
    End,
}

// === impl Answers ===

impl Answers {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
        }
    }

    /// Reads one answer to its end and returns the length of its body.
    ///
    /// # Errors
    ///
    /// Returns an error if the status is not 200, or the connection ends first.
    pub(crate) fn read(&mut self, stream: &mut impl Read) -> Result<usize> {
        let (status, length) = self.read_any(stream)?;
        ensure!(status == 200, "it answered {status}");
        Ok(length)
    }

    /// Reads one answer of any status to its end and returns the status and the length of its body.
    pub(crate) fn read_any(&mut self, stream: &mut impl Read) -> Result<(u16, usize)> {
        let mut filled = 0;
        let end = loop {
            let read = stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "the connection was closed, or the head is long");
            // The separator may have begun in what was read before.
            let from = filled.saturating_sub(3);
            filled += read;
            let new = &self.buffer[from..filled];
            if let Some(at) = new.windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at;
            }
        };
        let head = str::from_utf8(&self.buffer[..end]).context("the head is no text")?;
        let (status, length) = parse_head(head)?;
        let body = end + 4..filled;
        let length = match length {
            Length::Known(length) => {
                let mut left = length.saturating_sub(body.len());
                while left > 0 {
                    let most = left.min(BUFFER);
                    let read = stream.read(&mut self.buffer[..most])?;
                    ensure!(read > 0, "the body was cut");
                    left -= read;
                }
                length
            }
            Length::Chunked => {
                let mut chunks = Chunks::default();
                chunks.take(&self.buffer[body])?;
                while chunks.state != State::End {
                    let read = stream.read(&mut self.buffer)?;
                    ensure!(read > 0, "the body was cut");
                    chunks.take(&self.buffer[..read])?;
                }
                chunks.length
            }
        };
        Ok((status, length))
    }
}

/// Returns the status and the length of the body.
fn parse_head(head: &str) -> Result<(u16, Length)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.context("no status line")?.parse()?;
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            bail!("`{line}` is no header");
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(Length::Known(value.trim().parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Some(Length::Chunked);
        }
    }
    Ok((status, length.context("the answer has no length")?))
}

// === impl Chunks ===

impl Chunks {
    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let [byte, rest @ ..] = bytes {
            if let State::Data(left) = self.state {
                let taken = left.min(bytes.len());
                bytes = &bytes[taken..];
                self.state = match left - taken {
                    0 => State::DataEnd,
                    left => State::Data(left),
                };
                continue;
            }
            bytes = rest;
            self.state = self.next(*byte)?;
        }
        Ok(())
    }

    /// Returns the state after a byte that is not data.
    fn next(&mut self, byte: u8) -> Result<State> {
        let digit = |before: usize| {
            let digit = char::from(byte).to_digit(16).context("no chunk size")?;
            let size = before.checked_mul(16).context("a huge chunk")?;
            anyhow::Ok(State::Size(size + digit as usize))
        };
        Ok(match self.state {
            State::Start => digit(0)?,
            State::Size(0) | State::Extension(0) if byte == b'\n' => State::TrailerStart,
            State::Size(size) | State::Extension(size) if byte == b'\n' => {
                self.length += size;
                State::Data(size)
            }
            State::Size(size) if byte == b'\r' || byte == b';' => State::Extension(size),
            State::Size(size) => digit(size)?,
            State::Extension(size) => State::Extension(size),
            State::DataEnd if byte == b'\n' => State::Start,
            State::DataEnd => State::DataEnd,
            State::TrailerStart if byte == b'\n' => State::End,
            State::TrailerStart if byte == b'\r' => State::TrailerStart,
            State::Trailer if byte == b'\n' => State::TrailerStart,
            State::TrailerStart | State::Trailer => State::Trailer,
            State::Data(_) | State::End => bail!("more than one answer"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte with each read.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn read(answer: &str) -> Result<(u16, usize)> {
        let mut answers = Answers::new();
        let slowly = answers.read_any(&mut Slow(answer.as_bytes()));
        let at_once = answers.read_any(&mut answer.as_bytes());
        match (slowly, at_once) {
            (Ok(slowly), Ok(at_once)) => {
                assert_eq!(slowly, at_once);
                Ok(slowly)
            }
            (slowly, _) => slowly,
        }
    }

    #[test]
    fn the_length_of_a_body_is_known_or_counted() {
        let known = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(read(known).unwrap(), (200, 5));
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(read(chunks).unwrap(), (200, 15));
        let empty = "HTTP/1.1 503 No\r\ncontent-length:0\r\n\r\n";
        assert_eq!(read(empty).unwrap(), (503, 0));
    }

    #[test]
    fn what_is_cut_or_has_no_length_is_an_error() {
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_200_is_an_answer_to_measure() {
        let failed = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
        assert!(Answers::new().read(&mut failed.as_bytes()).is_err());
    }
}
