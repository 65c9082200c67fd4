//! Bodies for libraries that want everything to be `Send`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use send_wrapper::SendWrapper;

use crate::message::body::Body;
use crate::message::body_error::BodyError;

/// A [`Body`] that is `Send` and `Sync`, for libraries that want that although they read it where
/// it was made. It is a [`Stream`] of [`Bytes`] and an [`http_body::Body`].
///
/// # Panics
/// If it is read or dropped on another thread than that on which it was made.
///
/// # Examples
/// ```
/// use brigade_http::{BodyError, BoxError, HandlerError, Request, Router, StatusCode, post};
///
/// /// Counts the bytes of each file of a form, which are never held at once.
/// async fn upload(request: Request) -> Result<String, HandlerError> {
///     let content_type = request.header("content-type").unwrap_or_default();
///     let boundary = multer::parse_boundary(String::from_utf8_lossy(content_type))
///         .map_err(|error| HandlerError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
///     let mut fields = multer::Multipart::new(request.into_body().into_send(), boundary);
///     let mut sizes = String::new();
///     while let Some(mut field) = fields.next_field().await.map_err(failed)? {
///         let mut size = 0;
///         while let Some(part) = field.chunk().await.map_err(failed)? {
///             size += part.len();
///         }
///         sizes += &format!("{}: {size} bytes\n", field.name().unwrap_or_default());
///     }
///     Ok(sizes)
/// }
///
/// /// Keeps the status of what went wrong with the body, such as a 413.
/// fn failed(error: multer::Error) -> HandlerError {
///     BodyError::from(BoxError::from(error)).into()
/// }
///
/// let router = Router::new().route("/upload", post(upload));
/// ```
#[derive(Debug)]
pub struct SendBody {
    body: SendWrapper<Body>,
}

impl Body {
    /// Returns this body as one that is `Send`.
    #[must_use]
    pub fn into_send(self) -> SendBody {
        SendBody { body: SendWrapper::new(self) }
    }
}

impl SendBody {
    /// Returns the body itself.
    ///
    /// # Panics
    /// On another thread than that on which it was made.
    #[must_use]
    pub fn into_inner(self) -> Body {
        self.body.take()
    }
}

/// An empty body.
impl Default for SendBody {
    fn default() -> Self {
        Body::empty().into_send()
    }
}

impl Stream for SendBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body.poll_chunk(cx)
    }
}

impl http_body::Body for SendBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut *self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&*self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_can_be_made_send_and_sync() {
        fn check<T: Send + Sync + 'static>(_: &T) {}
        check(&Body::from("abc").into_send());
    }
}
