//! Bodies as the `http-body` crate defines them, for libraries that use its trait.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};

use crate::message::body::Body;
use crate::message::body_error::{BodyError, BoxError};
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_part(cx).map_ok(|part| match part {
            Part::Data(data) => Frame::data(data),
            Part::Trailers(trailers) => Frame::trailers(trailers),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length() {
            BodyLength::Empty => SizeHint::with_exact(0),
            BodyLength::Known(length) => SizeHint::with_exact(length),
            BodyLength::Unknown => SizeHint::new(),
        }
    }
}

impl Body {
    /// Creates a body from one of another library. Its length is known if its size hint is exact.
    ///
    /// # Examples
    /// ```
    /// use brigade_http::Body;
    ///
    /// let body = Body::from_http_body("hello".to_owned());
    /// let body = brigade_runtime::run(async move { { body }.collect(100).await });
    /// assert_eq!(body.unwrap(), "hello");
    /// ```
    pub fn from_http_body<B>(body: B) -> Self
    where
        B: http_body::Body + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let exact = body.size_hint().exact();
        let length = exact.map_or(BodyLength::Unknown, BodyLength::Known);
        Self::parts(Frames { body: Box::pin(body) }, length)
    }
}

/// The frames of a body of another library, as parts.
struct Frames<B> {
    body: Pin<Box<B>>,
}

impl<B> Stream for Frames<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(frame) = ready!(self.body.as_mut().poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            let part = match frame.map_err(Into::into)?.into_data() {
                Ok(mut data) => Part::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Part::Trailers(trailers),
                    // A kind of frame that a later version of the crate may add.
                    Err(_) => continue,
                },
            };
            return Poll::Ready(Some(Ok(part)));
        }
    }
}
