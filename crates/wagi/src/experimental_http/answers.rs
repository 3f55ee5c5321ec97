use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use headwater_core::{Body, BodyError};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;

use super::Code;

/// The responses for which a guest has handles.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<u32, Answer>);

/// A response. The unread rest of its body is still with the upstream, so little is in memory.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    body: Body,
    /// The part of the body that has arrived and was not read yet.
    chunk: Bytes,
    /// An error after the bytes that were read last.
    error: Option<BodyError>,
}

impl Answers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Stores a response and returns its handle, the smallest free one, as in WAGI.
    pub(super) fn keep(&mut self, response: Response<Body>) -> u32 {
        let handle = (0..u32::MAX)
            .find(|handle| !self.0.contains_key(handle))
            .unwrap_or(u32::MAX);
        let (head, body) = response.into_parts();
        self.0.insert(
            handle,
            Answer {
                headers: head.headers,
                body,
                chunk: Bytes::new(),
                error: None,
            },
        );
        handle
    }

    pub(super) fn get(&mut self, handle: i32) -> Result<&mut Answer, Code> {
        self.0
            .get_mut(&handle.cast_unsigned())
            .ok_or(Code::InvalidHandle)
    }

    pub(super) fn close(&mut self, handle: i32) {
        self.0.remove(&handle.cast_unsigned());
    }
}

impl Answer {
    /// Fills the buffer unless the body ends: guests read only once, as WAGI had the whole body.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Code> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.chunk.is_empty() && !self.next_chunk().await {
                break;
            }
            let now = self.chunk.len().min(buffer.len() - filled);
            self.chunk.copy_to_slice(&mut buffer[filled..filled + now]);
            filled += now;
        }
        match self.error.is_some() && filled == 0 && !buffer.is_empty() {
            true => Err(Code::Runtime),
            false => Ok(filled),
        }
    }

    async fn next_chunk(&mut self) -> bool {
        while self.chunk.is_empty() && self.error.is_none() {
            match self.body.frame().await {
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => self.error = Some(error),
                None => return false,
            }
        }
        !self.chunk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use headwater_core::full;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn response(body: Body) -> Response<Body> {
        Response::new(body)
    }

    #[tokio::test]
    async fn handles_are_the_smallest_that_are_free() {
        let mut answers = Answers::default();
        for expected in 0..3 {
            assert_eq!(answers.keep(response(full(""))), expected);
        }
        answers.close(1);
        answers.close(1);
        answers.close(-1);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers.keep(response(full(""))), 1);
        assert!(matches!(answers.get(3), Err(Code::InvalidHandle)));
        assert!(matches!(answers.get(-1), Err(Code::InvalidHandle)));
    }

    #[tokio::test]
    async fn a_read_is_full_until_the_end_and_an_error_comes_after_its_bytes() {
        let frames = ["ab", "", "cde"].map(|text| Ok(Frame::data(Bytes::from(text))));
        let frames = frames.into_iter().chain([Err(BodyError::from("cut"))]);
        let body = BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)));
        let mut answers = Answers::default();
        let handle = answers.keep(response(body)).cast_signed();
        let answer = answers.get(handle).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(answer.read(&mut []).await, Ok(0));
        assert_eq!(answer.read(&mut buffer).await, Ok(4));
        assert_eq!(&buffer, b"abcd");
        assert_eq!(answer.read(&mut buffer).await, Ok(1));
        assert_eq!(answer.read(&mut buffer).await, Err(Code::Runtime));
    }
}
