use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Attribution, RequestScope, Witness};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::instance::{InstanceOutput, Origin};
use super::service::{ServiceOutput, Stream};

/// The bytes that a guest may write to one of its streams at once.
pub(crate) const PERMIT: usize = 64 << 10;

/// The buffer for data that was written to a 0.2 stream.
///
/// A stream does not know the caller: its trait has no store. The import function has one, and takes
/// the data that its call gave to the stream. So imports that write to other streams, such as bodies,
/// need not find out which kind they write to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox(Arc<Posted>);

#[derive(Debug, Default)]
struct Posted {
    any: AtomicBool,
    pieces: Mutex<Vec<(Stream, Bytes)>>,
}

impl Outbox {
    /// Takes the data written since the last call. Costs almost nothing if there is none.
    pub(crate) fn take(&self) -> Vec<(Stream, Bytes)> {
        if !self.0.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.0.any.store(false, Ordering::Relaxed);
        let mut pieces = self.0.pieces.lock();
        std::mem::take(&mut *pieces)
    }

    fn post(&self, stream: Stream, bytes: Bytes) {
        let mut pieces = self.0.pieces.lock();
        pieces.push((stream, bytes));
        // One thread at a time uses the store, and only its own calls come here, so no other ordering
        // is needed.
        self.0.any.store(true, Ordering::Relaxed);
    }
}

/// A component's standard output or error, attributed piece by piece.
#[derive(Debug, Clone)]
pub(crate) struct Stdio {
    outbox: Outbox,
    stream: Stream,
}

impl Stdio {
    pub(crate) fn new(outbox: &Outbox, stream: Stream) -> Self {
        Self {
            outbox: outbox.clone(),
            stream,
        }
    }
}

/// The standard error of an instance that serves only one request, such as a WAGI module's.
#[derive(Debug, Clone)]
pub struct RequestStderr {
    output: InstanceOutput,
    attribution: Attribution,
}

impl RequestStderr {
    /// Returns the standard error of an instance of `service` for the request of `scope`.
    #[must_use]
    pub fn new(service: &ServiceOutput, scope: Arc<RequestScope>) -> Self {
        Self {
            output: InstanceOutput::new(service.clone(), None),
            attribution: Attribution::exact(scope, Witness::Sole),
        }
    }
}

trait Sink: Clone + Send + Sync + Unpin + 'static {
    fn put(&self, bytes: Bytes);
}

impl Sink for Stdio {
    fn put(&self, bytes: Bytes) {
        self.outbox.post(self.stream, bytes);
    }
}

impl Sink for RequestStderr {
    fn put(&self, bytes: Bytes) {
        self.output
            .write(&self.attribution, Stream::Stderr, Origin::Shared, &bytes);
    }
}

struct Open<S>(S);

#[async_trait]
impl<S: Sink> Pollable for Open<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Open<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PERMIT {
            return Err(StreamError::trap(
                "more was written to the standard output or error at once than check-write permits",
            ));
        }
        self.0.put(bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl<S: Sink> AsyncWrite for Open<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(PERMIT)];
        self.0.put(Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

macro_rules! stdout_stream {
    ($sink:ty) => {
        impl IsTerminal for $sink {
            fn is_terminal(&self) -> bool {
                false
            }
        }

        impl StdoutStream for $sink {
            fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
                Box::new(Open(self.clone()))
            }

            fn p2_stream(&self) -> Box<dyn OutputStream> {
                Box::new(Open(self.clone()))
            }
        }
    };
}

stdout_stream!(Stdio);
stdout_stream!(RequestStderr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_taken_once() {
        let outbox = Outbox::default();
        assert!(outbox.take().is_empty());
        let mut stream = Stdio::new(&outbox, Stream::Stderr).p2_stream();
        stream.write("a".into()).unwrap();
        stream.write("b".into()).unwrap();
        let pieces = outbox.take();
        let a_and_b = [(Stream::Stderr, "a".into()), (Stream::Stderr, "b".into())];
        assert_eq!(pieces, a_and_b);
        assert!(outbox.take().is_empty());
    }

    #[test]
    fn a_write_beyond_the_permit_is_a_trap() {
        let mut stream = Stdio::new(&Outbox::default(), Stream::Stdout).p2_stream();
        assert_eq!(stream.check_write().unwrap(), PERMIT);
        let written = stream.write(vec![b'a'; PERMIT + 1].into());
        assert!(matches!(written, Err(StreamError::Trap(_))));
    }
}
