use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_runtime::RequestStderr;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::log_file::LogFile;

/// A module's stderr: its lines go to the log, and its bytes unchanged to WAGI's log file if any.
#[derive(Debug, Clone)]
pub(crate) struct Stderr {
    lines: RequestStderr,
    file: Option<Arc<LogFile>>,
}

impl Stderr {
    pub(crate) fn new(lines: RequestStderr, file: Option<Arc<LogFile>>) -> Self {
        Self { lines, file }
    }
}

struct Open {
    lines: Box<dyn OutputStream>,
    file: Option<Arc<LogFile>>,
}

#[async_trait]
impl Pollable for Open {
    async fn ready(&mut self) {
        self.lines.ready().await;
    }
}

impl OutputStream for Open {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if let Some(file) = &self.file {
            file.append(&bytes);
        }
        self.lines.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.lines.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.lines.check_write()
    }
}

/// The stream for users of tokio's trait. preview1 does not use it.
struct OpenAsync {
    lines: Pin<Box<dyn AsyncWrite + Send + Sync>>,
    file: Option<Arc<LogFile>>,
}

impl AsyncWrite for OpenAsync {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(self.lines.as_mut().poll_write(cx, bytes))?;
        if let Some(file) = &self.file {
            file.append(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(OpenAsync {
            lines: self.lines.async_stream().into(),
            file: self.file.clone(),
        })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        match &self.file {
            None => self.lines.p2_stream(),
            file => Box::new(Open {
                lines: self.lines.p2_stream(),
                file: file.clone(),
            }),
        }
    }
}
