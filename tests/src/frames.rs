//! A client that writes HTTP/2 frames by hand, including frames that no library would write (RFC
//! 9113).

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// Carries a body. This and the next constants are frame types (RFC 9113 6).
pub const DATA: u8 = 0;
/// Opens a stream.
pub const HEADERS: u8 = 1;
/// Ends a stream early.
pub const RST_STREAM: u8 = 3;
/// Announces the sender's settings.
pub const SETTINGS: u8 = 4;
/// Tests whether the peer responds.
pub const PING: u8 = 6;
/// Ends a connection.
pub const GOAWAY: u8 = 7;
/// Continues a head.
pub const CONTINUATION: u8 = 9;

/// The flag that ends the sender's side of a stream; on SETTINGS and PING it marks an answer.
pub const END_STREAM: u8 = 1;
/// The flag of the last frame of a head.
pub const END_HEADERS: u8 = 4;

/// There was no error. This and the next constants are error codes (RFC 9113 7).
pub const NO_ERROR: u32 = 0;
/// The stream was not processed.
pub const REFUSED_STREAM: u32 = 7;
/// The stream is no longer needed.
pub const CANCEL: u32 = 8;
/// The peer causes too much load.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// `:method: GET`, in the static table of HPACK (RFC 7541 A).
pub const GET: u8 = 0x82;
/// `:method: POST`, in the same table.
pub const POST: u8 = 0x83;

/// A frame that was received.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// The contents.
    pub payload: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Encodes a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    // No test writes frames of 16 MiB.
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Encodes the head of a request for `/` of `x.example`.
#[must_use]
pub fn head(method: u8) -> Vec<u8> {
    let mut head = vec![method, 0x86, 0x84, 0x01, 9];
    head.extend(b"x.example");
    head
}

/// Encodes the head of a request for a path of `x.example`.
#[must_use]
pub fn head_of(method: u8, path: &str) -> Vec<u8> {
    let mut head = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap_or(0)];
    head.extend(path.as_bytes());
    head.extend([0x01, 9]);
    head.extend(b"x.example");
    head
}

/// Returns the numbers of the streams that a client opens.
pub fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

impl Frame {
    /// Returns the error code of a RST_STREAM or a GOAWAY.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

impl Frames {
    /// Connects with prior knowledge, and does not send anything.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing listens there.
    pub async fn connect(address: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        stream.write_all(&bytes).await?;
        let received = Vec::new();
        Ok(Self { stream, received })
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection has ended.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        within("sending frames", self.stream.write_all(bytes)).await??;
        Ok(())
    }

    /// Sends these bytes again and again, without reading, until the server closes the connection.
    ///
    /// # Errors
    ///
    /// Returns an error if it never does.
    pub async fn flood(&mut self, bytes: &[u8]) -> Result<()> {
        within("the end of a flood", async {
            while self.stream.write_all(bytes).await.is_ok() {}
        })
        .await
    }

    /// Reads the next frame. `None` means that the connection has ended, whichever side ended it.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing arrives.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some((header, rest)) = self.received.split_at_checked(9) {
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                if let Some(payload) = rest.get(..length) {
                    let number = [header[5], header[6], header[7], header[8]];
                    let frame = Frame {
                        kind: header[3],
                        flags: header[4],
                        stream: u32::from_be_bytes(number),
                        payload: payload.to_vec(),
                    };
                    self.received.drain(..9 + length);
                    return Ok(Some(frame));
                }
            }
            let reading = self.stream.read_buf(&mut self.received);
            match within("a frame", reading).await? {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }

    /// Reads the next frame of this type.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection ends first, or nothing arrives.
    pub async fn next_of(&mut self, kind: u8) -> Result<Frame> {
        loop {
            let frame = self.next().await?;
            let frame = frame.with_context(|| format!("no frame of type {kind} came"))?;
            if frame.kind == kind && !(kind == SETTINGS && frame.flags & 1 == 1) {
                return Ok(frame);
            }
        }
    }

    /// Waits until the server has processed everything that was sent: it answers a PING.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection ends first.
    pub async fn looked_at(&mut self) -> Result<()> {
        self.send(&frame(PING, 0, 0, b"12345678")).await?;
        let pong = self.next_of(PING).await?;
        ensure!(
            pong.flags & 1 == 1 && pong.payload == b"12345678",
            "{pong:?}"
        );
        Ok(())
    }

    /// Sends all of this while it reads, and returns the error code of the GOAWAY that ended the
    /// connection, if there was one.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection does not end.
    pub async fn ended_by(self, bytes: Vec<u8>) -> Result<Option<u32>> {
        let (reading, mut writing) = self.stream.into_split();
        let sending = tokio::spawn(async move {
            // Fails when the server closes the connection.
            let _ = writing.write_all(&bytes).await;
            writing
        });
        let mut received = self.received;
        let mut reading = reading;
        within("the end of a connection", async {
            // A reset also ends the connection.
            while reading
                .read_buf(&mut received)
                .await
                .is_ok_and(|read| read > 0)
            {}
        })
        .await?;
        drop(sending.await);
        let mut rest = &received[..];
        let mut code = None;
        while let Some((header, more)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let Some((payload, more)) = more.split_at_checked(length) else {
                break;
            };
            if header[3] == GOAWAY {
                let bytes = payload.get(4..8).context("a short GOAWAY")?;
                code = Some(u32::from_be_bytes(bytes.try_into()?));
            }
            rest = more;
        }
        Ok(code)
    }
}
