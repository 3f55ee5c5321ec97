use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::head::{HeadScanner, HeadTooLarge};

/// Bytes of a body that are held for a slow client before the module has to wait. A connection
/// takes this much at once, so a fast client never has to wait for the module to be woken.
pub(crate) const AHEAD: usize = 128 << 10;

/// The usual write permit of WASI streams.
const PERMIT: usize = 64 << 10;

#[derive(Debug, Clone, Error)]
#[error("the module printed more than {limit} bytes: raise `{setting}` to allow more")]
pub(crate) struct OutputTooLarge {
    limit: u64,
    setting: &'static str,
}

/// The reason why a module may not print more. It ends the module rather than failing the write,
/// because the module could not tell the client any more anyway.
#[derive(Debug, Clone, Error)]
pub(crate) enum OutputError {
    #[error(transparent)]
    TooLarge(#[from] OutputTooLarge),
    #[error(transparent)]
    Head(#[from] HeadTooLarge),
}

/// How much of the output is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The whole output, up to the limit.
    All,
    /// [`AHEAD`] bytes: the module waits until they are taken.
    Some,
    /// Nothing: the response has no body.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputLimit {
    pub(crate) bytes: u64,
    /// The setting that raises the limit.
    pub(crate) setting: &'static str,
}

/// A module's stdout: the header block, and the part of the body that was not taken yet.
#[derive(Debug, Clone)]
pub(crate) struct Output(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    head: HeadScanner,
    body: Vec<u8>,
    hold: Hold,
    limit: Option<OutputLimit>,
    printed: u64,
    /// The waker of the module while it waits for room.
    waiting: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) printed: u64,
    pub(crate) opening: Vec<u8>,
}

impl Output {
    pub(crate) fn new(hold: Hold, limit: Option<OutputLimit>) -> Self {
        Self(Arc::new(Mutex::new(State {
            head: HeadScanner::default(),
            body: Vec::new(),
            hold,
            limit,
            printed: 0,
            waiting: None,
        })))
    }

    /// Takes all of `bytes`, room or not: a caller that prints much asks [`Self::room`] first.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.0.lock().append(bytes)
    }

    /// Returns how many bytes may be printed now.
    pub(crate) fn room(&self) -> usize {
        self.0.lock().room()
    }

    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.0.lock();
        match state.room() {
            0 => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            room => Poll::Ready(room),
        }
    }

    pub(crate) fn has_head(&self) -> bool {
        self.0.lock().head.is_complete()
    }

    /// Passes the header block to `look`. It is empty until its end was printed.
    pub(crate) fn head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.0.lock().head.text())
    }

    /// Returns true if the module has to wait until something is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().room() == 0
    }

    /// Takes the part of the body that was printed since the last call.
    pub(crate) fn take(&self) -> Bytes {
        let mut state = self.0.lock();
        let body = std::mem::take(&mut state.body);
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        body.into()
    }

    /// Discards the body from now on.
    pub(crate) fn discard(&self) {
        self.0.lock().hold = Hold::Nothing;
        self.take();
    }

    /// Returns everything not taken, with the header block without carriage returns and NULs.
    pub(crate) fn whole(&self) -> Vec<u8> {
        let state = self.0.lock();
        [state.head.raw(), &state.body].concat()
    }

    /// Returns the number of body bytes printed, taken or not.
    pub(crate) fn body_length(&self) -> u64 {
        let state = self.0.lock();
        state.printed.saturating_sub(state.head.length())
    }

    pub(crate) fn summary(&self) -> Summary {
        const OPENING: usize = 201;
        let state = self.0.lock();
        let mut opening = state.head.raw().to_vec();
        opening.truncate(OPENING);
        Summary {
            printed: state.printed,
            opening,
        }
    }
}

impl State {
    fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.printed = self.printed.saturating_add(bytes.len() as u64);
        if let Some(OutputLimit {
            bytes: limit,
            setting,
        }) = self.limit
            && self.printed > limit
        {
            return Err(OutputTooLarge { limit, setting }.into());
        }
        let of_head = self.head.push(bytes)?;
        if self.hold != Hold::Nothing {
            let rest = &bytes[of_head..];
            if self.hold == Hold::Some && self.body.capacity() == 0 && rest.len() > PERMIT / 2 {
                // A module that prints much fills the buffer anyway.
                self.body.reserve_exact(AHEAD);
            }
            self.body.extend_from_slice(rest);
        }
        Ok(())
    }

    fn room(&self) -> usize {
        match self.hold {
            Hold::All | Hold::Nothing => PERMIT,
            Hold::Some => AHEAD.saturating_sub(self.body.len()),
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes)
            .map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.room())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = std::task::ready!(self.poll_room(cx));
        let bytes = &bytes[..bytes.len().min(room)];
        Poll::Ready(
            self.append(bytes)
                .map(|()| bytes.len())
                .map_err(io::Error::other),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_module_waits_while_as_much_is_held_as_may_be() {
        let mut output = Output::new(Hold::Some, None);
        output.append(b"a: b\n\n").unwrap();
        output.append(&vec![b'x'; AHEAD]).unwrap();
        assert!(output.is_full());
        let mut writer = output.clone();
        let mut ready = writer.ready();
        assert!(poll!(&mut ready).is_pending());
        assert_eq!(output.take().len(), AHEAD);
        ready.await;
        assert_eq!(output.check_write().unwrap(), AHEAD);
        assert_eq!(output.body_length(), AHEAD as u64);
    }

    #[test]
    fn what_is_printed_is_bounded() {
        let limit = OutputLimit {
            bytes: 10,
            setting: "x",
        };
        for hold in [Hold::All, Hold::Some, Hold::Nothing] {
            let output = Output::new(hold, Some(limit));
            output.append(b"a:\n\n123456").unwrap();
            let error = output.append(b"7").unwrap_err().to_string();
            assert!(error.contains("10 bytes: raise `x`"), "{error}");
        }
    }

    #[test]
    fn a_body_that_nobody_wants_is_counted_and_not_kept() {
        let output = Output::new(Hold::All, None);
        output.append(b"a:\r\n\r\nbody").unwrap();
        output.discard();
        output.append(b"more").unwrap();
        assert!(output.take().is_empty());
        assert_eq!(output.body_length(), 8);
        assert_eq!(output.head(<[u8]>::to_vec), b"a:\n");
    }
}
