use std::cell::RefCell;
use std::io::Write;

use wasip3::wit_bindgen::StreamWriter;
use wasip3::{cli, wit_stream};

/// The destination of the output.
#[derive(Clone, Copy)]
pub enum Way {
    /// The standard library's stderr, which has no buffer: each write is a call of 0.2.
    Stderr,
    /// The standard library's stdout. All tasks share its buffer, and whichever writes the end of a
    /// line flushes it.
    Stdout,
    /// A stream of 0.3.
    Stream,
}

/// A writer to a destination.
pub enum Out {
    Stderr,
    Stdout,
    Stream(StreamWriter<u8>),
}

impl Way {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "stderr" => Self::Stderr,
            "stdout" => Self::Stdout,
            "stream" => Self::Stream,
            _ => return None,
        })
    }

    pub fn open(self) -> Out {
        match self {
            Self::Stderr => Out::Stderr,
            Self::Stdout => Out::Stdout,
            Self::Stream => {
                let (writer, reader) = wit_stream::new();
                // The result is ready when the writer is dropped, and is not needed.
                drop(cli::stdout::write_via_stream(reader));
                Out::Stream(writer)
            }
        }
    }
}

thread_local! {
    /// The stream that all requests of the instance share.
    static SHARED: RefCell<Option<Out>> = const { RefCell::new(None) };
}

/// Prints to the one stream of the instance, which the first request opens. While another request
/// uses it, prints to a new stream.
pub async fn share(bytes: Vec<u8>) {
    let mut out = SHARED.take().unwrap_or_else(|| Way::Stream.open());
    out.write(bytes).await;
    SHARED.set(Some(out));
}

impl Out {
    pub async fn write(&mut self, bytes: Vec<u8>) {
        match self {
            // Ignores failures, like `eprint!`.
            Self::Stderr => std::io::stderr().write_all(&bytes).unwrap_or_default(),
            Self::Stdout => std::io::stdout().write_all(&bytes).unwrap_or_default(),
            Self::Stream(writer) => {
                writer.write_all(bytes).await;
            }
        }
    }
}
