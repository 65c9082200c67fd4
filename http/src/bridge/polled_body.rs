//! Bodies of services, of which the first frame is asked for before the head is sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::message::body::Body;
use crate::message::body_error::BoxError;

/// What a body returns for a frame.
type Polled<B> = Option<Result<Frame<<B as HttpBody>::Data>, <B as HttpBody>::Error>>;

/// Converts a body. If it has one frame, which is there already, it becomes one that is complete,
/// and is sent together with its head.
pub(super) async fn poll_first_frame<B>(body: B) -> Body
where
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    let Some(length) = body.size_hint().exact().filter(|&length| length > 0) else {
        return Body::from_http_body(body);
    };
    let mut body = Box::pin(body);
    let first = poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await;
    let first = match first {
        Poll::Ready(Some(Ok(frame))) if is_whole(&frame, length) && body.is_end_stream() => {
            let data = frame.into_data().map(|mut data| data.copy_to_bytes(data.remaining()));
            return data.map(Body::from).unwrap_or_default();
        }
        Poll::Ready(first) => Some(first),
        Poll::Pending => None,
    };
    Body::from_http_body(PolledBody { body, first, length })
}

/// Returns `true` if this frame is the whole body of `length` bytes.
fn is_whole<D: Buf>(frame: &Frame<D>, length: u64) -> bool {
    frame.data_ref().is_some_and(|data| data.remaining() as u64 == length)
}

/// A body of `length` bytes that was polled once.
struct PolledBody<B: HttpBody> {
    body: Pin<Box<B>>,
    /// What the first poll has returned, until it is passed on.
    first: Option<Polled<B>>,
    length: u64,
}

// Nothing in it is pinned but what the box holds.
impl<B: HttpBody> Unpin for PolledBody<B> {}

impl<B: HttpBody> HttpBody for PolledBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled<B>> {
        match self.first.take() {
            Some(first) => Poll::Ready(first),
            None => self.body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    /// Returns the size that the body had before its first poll.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use brigade_runtime::run;
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::message::body::BodyKind;
    use crate::message::part::Part;

    /// A body with these frames. `None` means that the next one is not there yet.
    struct Frames(VecDeque<Option<Result<Frame<Bytes>, io::Error>>>, u64);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled<Self>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(Some(frame)) => Poll::Ready(Some(frame)),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }

    fn data(text: &'static str) -> Option<Result<Frame<Bytes>, io::Error>> {
        Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    fn trailers() -> Option<Result<Frame<Bytes>, io::Error>> {
        Some(Ok(Frame::trailers(HeaderMap::from_iter([(
            "a".parse().unwrap(),
            "b".parse().unwrap(),
        )]))))
    }

    /// Returns whether the body is complete at once, its data, its trailers, and its error.
    fn read_polled<const N: usize>(
        frames: [Option<Result<Frame<Bytes>, io::Error>>; N],
    ) -> (bool, String, usize, Option<String>) {
        run(async {
            let length = 5;
            let mut body = poll_first_frame(Frames(frames.into(), length)).await;
            let is_complete = matches!(body.kind, BodyKind::Full(_));
            let (mut text, mut trailers, mut error) = (String::new(), 0, None);
            while let Some(part) = poll_fn(|cx| body.poll_part(cx)).await {
                match part {
                    Ok(Part::Data(data)) => text += std::str::from_utf8(&data).unwrap(),
                    Ok(Part::Trailers(map)) => trailers += map.len(),
                    Err(failed) => {
                        error = Some(failed.into_cause().to_string());
                        break;
                    }
                }
            }
            (is_complete, text, trailers, error)
        })
    }

    #[test]
    fn a_body_of_one_frame_that_is_there_is_complete_at_once() {
        assert_eq!(read_polled([data("hello")]), (true, "hello".to_owned(), 0, None));
    }

    #[test]
    fn a_body_of_more_than_one_frame_is_sent_frame_by_frame() {
        assert_eq!(read_polled([data("hel"), data("lo")]), (false, "hello".to_owned(), 0, None));
        assert_eq!(read_polled([data("hello"), trailers()]), (false, "hello".to_owned(), 1, None));
    }

    #[test]
    fn a_body_that_is_not_there_yet_is_waited_for() {
        assert_eq!(read_polled([None, data("hello")]), (false, "hello".to_owned(), 0, None));
    }

    #[test]
    fn a_body_that_fails_at_once_still_fails() {
        let (is_complete, text, _, error) = read_polled([Some(Err(io::Error::other("broken")))]);
        assert!(!is_complete && text.is_empty());
        assert!(error.is_some_and(|error| error.contains("broken")));
    }
}
