//! Checks the length that a guest declares for its response against the body that it writes.

use bytes::Bytes;
use headwater_core::BodyError;
use headwater_core::fields::{DeclaredLength, declared_length};
use http::HeaderMap;
use http_body::Frame;
use wasmtime_wasi_http::Error;

/// The declared length of a response's body, and the number of bytes written so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromisedLength {
    declared: Option<u64>,
    written: u64,
}

/// A guest wrote more or less than it declared.
///
/// wasmtime-wasi-http has `HTTP-response-body-size` for both, with the meaning "exceeds limit", and in 0.2 a
/// protocol error for too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the guest declared a body of {declared} bytes by its content-length and {}",
    match written < declared {
        true => format!("wrote {written}"),
        false => format!("wrote more: at least {written}"),
    }
)]
pub(crate) struct WrongLength {
    declared: u64,
    written: u64,
}

// === impl PromisedLength ===

impl PromisedLength {
    /// Reads the length that a response's head declares.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            declared: match declared_length(headers) {
                DeclaredLength::Exactly(length) => Some(length),
                // An invalid length is refused with the head.
                DeclaredLength::None | DeclaredLength::Invalid => None,
            },
            written: 0,
        }
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Counts a frame.
    ///
    /// # Errors
    ///
    /// Returns an error if the frame exceeds the declared length. None of its bytes may be sent: an HTTP/1
    /// client would read them as the beginning of the next response.
    pub(crate) fn frame(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.written = self.written.saturating_add(length);
        match self.declared {
            Some(declared) if self.written > declared => Err(self.wrong(declared, self.written)),
            _ => Ok(frame),
        }
    }

    /// Converts an error of the stock body that is about the length.
    pub(crate) fn error(&self, error: Error) -> BodyError {
        match (self.declared, error) {
            (Some(declared), Error::HttpResponseBodySize(written)) => {
                self.wrong(declared, written.unwrap_or(self.written))
            }
            // A 0.2 body ends this way if its guest finished it too early or dropped it.
            (Some(declared), Error::HttpProtocolError) if self.written < declared => {
                self.wrong(declared, self.written)
            }
            (_, error) => error.into(),
        }
    }

    /// Checks that the body has its declared length at its end.
    ///
    /// # Errors
    ///
    /// Returns an error if it is too short.
    pub(crate) fn end(&self) -> Result<(), BodyError> {
        match self.declared {
            Some(declared) if self.written < declared => Err(self.wrong(declared, self.written)),
            _ => Ok(()),
        }
    }

    fn wrong(&self, declared: u64, written: u64) -> BodyError {
        WrongLength { declared, written }.into()
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_LENGTH;

    use super::*;

    fn promised(length: Option<u64>) -> PromisedLength {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        PromisedLength::of(&headers)
    }

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(vec![0; length].into())
    }

    #[test]
    fn a_body_that_is_shorter_than_declared_is_called_so_however_it_ends() {
        let mut promised = promised(Some(10));
        assert!(promised.frame(data(3)).is_ok());
        let told = "the guest declared a body of 10 bytes by its content-length and wrote 3";
        for error in [
            promised.end().unwrap_err(),
            promised.error(Error::HttpResponseBodySize(Some(3))),
            promised.error(Error::HttpResponseBodySize(None)),
            promised.error(Error::HttpProtocolError),
        ] {
            assert_eq!(error.to_string(), told);
        }
        assert!(promised.frame(data(7)).is_ok());
        assert!(promised.end().is_ok());
    }

    #[test]
    fn a_body_that_is_longer_than_declared_is_called_so_and_not_sent() {
        let mut promised = promised(Some(10));
        let told = "the guest declared a body of 10 bytes by its content-length and wrote more: at least 11";
        let refused = promised.error(Error::HttpResponseBodySize(Some(11)));
        assert_eq!(refused.to_string(), told);
        assert_eq!(promised.frame(data(11)).unwrap_err().to_string(), told);
    }

    #[test]
    fn other_errors_stay_what_they_are_and_a_body_without_a_length_may_have_any() {
        let mut any = promised(None);
        assert!(any.frame(data(1 << 20)).is_ok() && any.end().is_ok());
        for (promised, error) in [
            (any, Error::HttpProtocolError),
            (promised(Some(0)), Error::HttpProtocolError),
            (promised(Some(10)), Error::HttpResponseTimeout),
        ] {
            let text = error.to_string();
            assert_eq!(promised.error(error).to_string(), text);
        }
    }
}
