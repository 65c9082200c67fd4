//! One request and its response, whatever the version of HTTP.

use std::fmt::Debug;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::client::target::Target;
use crate::message::body::Body;
use crate::message::client_error::ClientErrorKind;
use crate::message::upgrade::Upgraded;
use crate::protocol::head::ResponseHead;
use crate::protocol::headers::Headers;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Headers,
    /// The timeout of the whole exchange, and the instant at which it passes.
    pub(super) deadline: Option<(Duration, Instant)>,
}

impl Outline {
    /// Returns the method and the URL, for messages.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// A part of the response's body, or its end.
#[derive(Debug)]
pub(super) enum BodyPart {
    Data(Bytes),
    End(Option<Box<HeaderMap>>),
}

/// A request in progress on its connection. Dropping it closes the connection, or resets its
/// stream.
pub(super) trait Exchange: Debug {
    /// Sends the head, and a body that is complete.
    fn begin(&mut self, outline: &Outline, body: Body) -> Result<(), ClientErrorKind>;

    /// Sends the request's body and receives the response's head. Ready with the head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ClientErrorKind>>;

    /// Sends the request's body and receives the response's body. Ready with a part of it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, ClientErrorKind>>;

    /// Returns `true` if `error` means that the connection failed before the first byte of a
    /// response.
    fn is_unheard(&self, error: &ClientErrorKind) -> bool;

    /// Returns `true` if nothing of the request has reached the server, or it has said that it did
    /// not look at it.
    fn is_unsent(&self) -> bool;

    /// Returns the stream that is the request's body, unless a part of it was sent.
    fn take_unsent_body(&mut self) -> Option<Body>;

    /// Returns how many bytes of the response's body have not been returned, if that is known.
    fn body_remaining(&self) -> Option<u64>;

    /// Ends an exchange whose response has been read. The connection is kept if both sides keep it
    /// and the request was sent completely.
    fn finish(self: Box<Self>);

    /// Ends an exchange whose response has no body.
    fn finish_bodiless(self: Box<Self>);

    /// Ends an exchange whose caller wants no more of the response. The connection is kept if the
    /// rest is short: it is discarded before the next request.
    fn abandon(self: Box<Self>);

    /// Returns the connection after a 101.
    fn upgrade(self: Box<Self>) -> Option<Upgraded>;
}
