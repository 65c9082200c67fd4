//! A response, and its body part by part.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, StatusCode, Version};

use crate::client::exchange::{BodyPart, Exchange};
use crate::client::options::{COLLECT_BYTES_MAX, Decompression};
use crate::client::response_body::Remainder;
use crate::message::body::Body;
use crate::message::client_error::{ClientError, ClientErrorKind, url_of};
use crate::message::upgrade::Upgraded;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::head::ResponseHead;

/// A response: its head, and its body part by part. It is also a [`Stream`] of [`Bytes`].
///
/// A part is read from the connection when the caller asks for it. A caller that does not ask
/// stops the server from sending, and stops the request's body if that is still being sent.
///
/// When the body has been read, the connection returns to the client's pool; without a body, at
/// once. A response that is dropped earlier closes its connection, unless at most 64 KiB of it are
/// left: then the connection is reused if they have arrived by the next request. Over HTTP/2 it
/// resets its stream, and the connection stays.
#[must_use = "a response that is dropped may close its connection; read its body"]
pub struct ClientResponse {
    head: ResponseHead,
    pub(super) rest: Remainder,
    trailers: Option<Box<HeaderMap>>,
}

impl ClientResponse {
    pub(super) fn new(head: ResponseHead, label: Rc<str>, exchange: Box<dyn Exchange>) -> Self {
        let is_upgrade = head.status() == StatusCode::SWITCHING_PROTOCOLS;
        Self { head, rest: Remainder::new(label, exchange, is_upgrade), trailers: None }
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Returns the URL that responded: after redirects, the last one. It has no fragment.
    #[must_use]
    pub fn url(&self) -> &str {
        url_of(&self.rest.label)
    }

    /// Returns the version: HTTP/1.0 or HTTP/1.1, or HTTP/2 with the features `tls` and `http2`.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.head.version()
    }

    /// Returns the headers, as a map that is built by the first call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Returns the value of the first header of this name, which is compared without regard to
    /// case. Builds no map.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.header(name)
    }

    /// Returns the whole head.
    #[must_use]
    pub const fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns the response, or an error if its status is 400 or more. The body is then discarded.
    ///
    /// # Errors
    /// [`ClientErrorKind::Status`], with the status and the URL.
    pub fn error_for_status(self) -> Result<Self, ClientError> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(ClientError::new(&self.rest.label, ClientErrorKind::Status(status)));
        }
        Ok(self)
    }

    /// Returns how many bytes of the body have not been read; `None` if that is unknown.
    #[must_use]
    pub fn body_remaining(&self) -> Option<u64> {
        self.rest.length()
    }

    /// Returns the next part of the body, never empty; `None` at the end.
    ///
    /// # Errors
    /// If the server broke the protocol, a limit or a timeout, or went away. Then the connection
    /// is closed, and each later call returns `None`.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: brigade_http::Client) -> Result<(), brigade_http::ClientError> {
    /// let mut response = client.get("http://127.0.0.1:8080/large").send().await?;
    /// while let Some(part) = response.chunk().await {
    ///     println!("{} bytes", part?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn chunk(&mut self) -> Option<Result<Bytes, ClientError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for the next part; see [`ClientResponse::chunk`].
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        Poll::Ready(match ready!(self.rest.poll_part(cx)) {
            Some(Ok(BodyPart::Data(data))) => Some(Ok(data)),
            Some(Ok(BodyPart::End(trailers))) => {
                self.trailers = trailers;
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    /// Reads the body to its end and returns it in one piece.
    ///
    /// While `StreamExt` is imported, write `(&mut response).collect(limit)`; see
    /// [`Body::collect`].
    ///
    /// # Errors
    /// [`ClientErrorKind::TooLarge`] if it has more than `limit` bytes, and those of
    /// [`ClientResponse::chunk`].
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, ClientError> {
        if self.body_remaining().is_some_and(|left| left > limit as u64) {
            return Err(self.rest.fail(ClientErrorKind::TooLarge(limit as u64)));
        }
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Bytes::new()) };
        let mut all = BytesMut::from(first);
        while all.len() <= limit {
            match self.chunk().await.transpose()? {
                Some(part) => all.extend_from_slice(&part),
                None => return Ok(all.freeze()),
            }
        }
        Err(self.rest.fail(ClientErrorKind::TooLarge(limit as u64)))
    }

    /// Reads the body to its end and returns it in one piece, at most [`COLLECT_BYTES_MAX`] bytes.
    /// [`collect`](ClientResponse::collect) takes another limit.
    ///
    /// # Errors
    /// As for [`ClientResponse::collect`].
    pub async fn bytes(&mut self) -> Result<Bytes, ClientError> {
        self.collect(COLLECT_BYTES_MAX).await
    }

    /// Reads the body to its end and returns it as text, at most [`COLLECT_BYTES_MAX`] bytes. It
    /// has to be UTF-8, whatever `Content-Type` says.
    ///
    /// # Errors
    /// [`ClientErrorKind::NotText`] if it is not, and those of [`ClientResponse::collect`].
    pub async fn text(&mut self) -> Result<String, ClientError> {
        self.text_with_limit(COLLECT_BYTES_MAX).await
    }

    /// Does what [`text`](ClientResponse::text) does, for a body of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`ClientResponse::text`].
    pub async fn text_with_limit(&mut self, limit: usize) -> Result<String, ClientError> {
        let bytes = self.collect(limit).await?;
        String::from_utf8(bytes.into()).map_err(|_| self.rest.fail(ClientErrorKind::NotText))
    }

    /// Returns the trailers, if there are any and the end has been read (RFC 9110 section 6.5).
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// Returns what has not been read of the body, to be passed on or to be read as any other body.
    /// A part that cannot be read is a [`BodyError::Stream`](crate::BodyError::Stream) with a
    /// [`ClientError`]. After the end of the body, and if there is none, it is empty.
    ///
    /// # Examples
    /// ```no_run
    /// use brigade_http::{Client, ClientError, Request, Response};
    ///
    /// /// Sends the body of a request on, and the response back, both as they arrive.
    /// async fn forward(client: Client, request: Request) -> Result<Response, ClientError> {
    ///     let request = client.post("http://127.0.0.1:8080/").body(request.into_body());
    ///     let response = request.send().await?;
    ///     Ok(Response::empty(response.status()).with_body(response.into_body()))
    /// }
    /// ```
    pub fn into_body(self) -> Body {
        self.into_parts().1
    }

    /// Splits the response into its head and its [body](Self::into_body).
    #[must_use = "a response that is dropped may close its connection; read its body"]
    pub fn into_parts(self) -> (ResponseHead, Body) {
        let Self { head, rest, .. } = self;
        let body = match rest.body_length() {
            BodyLength::Empty => Body::empty(),
            length => Body::parts(rest, length),
        };
        (head, body)
    }

    /// Returns the connection, to be used for the protocol that the request's `Upgrade` offered;
    /// `None` unless the status is 101 (RFC 9110 section 7.8).
    #[must_use]
    pub fn upgrade(mut self) -> Option<Upgraded> {
        self.rest.take_upgrade()?.upgrade()
    }

    /// Ends a response without a body.
    pub(super) fn end_at_once(&mut self) {
        self.rest.end_at_once();
    }

    /// Returns the response with its body decompressed, if it can be: to at most `bytes_max` bytes.
    pub(super) fn decompressed(self, decompression: Decompression, bytes_max: u64) -> Self {
        let Self { mut head, rest, trailers } = self;
        let length = rest.body_length();
        if matches!(length, BodyLength::Empty | BodyLength::Known(0)) {
            return Self { head, rest, trailers };
        }
        let rest = match (decompression.begin)(&mut head) {
            Some(decompress) => {
                let label = rest.label.clone();
                let body = decompress(Body::parts(rest, length), bytes_max);
                Remainder::of_body(label, body, bytes_max)
            }
            None => rest,
        };
        Self { head, rest, trailers }
    }
}

impl Stream for ClientResponse {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
    }
}

impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientResponse")
            .field("request", &self.rest.label)
            .field("head", &self.head)
            .field("ended", &self.rest.is_ended())
            .finish_non_exhaustive()
    }
}
