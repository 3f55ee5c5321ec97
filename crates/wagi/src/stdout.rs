use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use thiserror::Error;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The module printed more than may be held in memory.
#[derive(Debug, Clone, Error)]
#[error("the module printed more than {limit} bytes: raise `buffered_response` if it may")]
pub(crate) struct OutputTooLarge {
    limit: usize,
}

/// A module's stdout, held in memory up to a bound.
///
/// A write beyond the bound ends the module rather than failing: it could not tell the client
/// anything more in any case.
#[derive(Debug, Clone)]
pub(crate) struct Stdout {
    buffer: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Stdout {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Arc::default(),
            limit,
        }
    }

    /// What was printed, once; nothing is left.
    pub(crate) fn take(&self) -> Bytes {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *buffer).into()
    }

    fn append(&self, bytes: &[u8]) -> Result<(), OutputTooLarge> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > self.limit - buffer.len() {
            return Err(OutputTooLarge { limit: self.limit });
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }
}

#[async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {}
}

impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes)
            .map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // The usual permit of WASI streams; the bound is checked when the bytes are there.
        Ok(64 << 10)
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
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

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}
