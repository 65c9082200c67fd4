//! The rest of a response, which is read part by part.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use futures_core::Stream;

use crate::client::exchange::{BodyPart, Exchange};
use crate::message::body::Body;
use crate::message::body_error::{BodyError, BoxError};
use crate::message::client_error::{ClientError, ClientErrorKind};
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::ProtocolError;

/// What has not been read of a response. Its connection returns to the client's pool at the end of
/// the body. Dropping this earlier closes the connection, unless little is left.
pub(super) struct Remainder {
    /// Method and URL, for errors.
    pub(super) label: Rc<str>,
    /// Absent once the body has ended or failed, and if it is decompressed.
    exchange: Option<Box<dyn Exchange>>,
    /// The body if it is decompressed, made of what is received. Absent once it has ended.
    decompressed: Option<Decompressed>,
    /// After a 101 there is no body, but another protocol.
    is_upgrade: bool,
}

/// A body that is decompressed.
struct Decompressed {
    body: Body,
    /// How many bytes it may have.
    bytes_max: u64,
}

impl Remainder {
    pub(super) fn new(label: Rc<str>, exchange: Box<dyn Exchange>, is_upgrade: bool) -> Self {
        Self { label, exchange: Some(exchange), decompressed: None, is_upgrade }
    }

    /// Creates one that reads `body`, which is made of another one.
    pub(super) fn of_body(label: Rc<str>, body: Body, bytes_max: u64) -> Self {
        let decompressed = Some(Decompressed { body, bytes_max });
        Self { label, exchange: None, decompressed, is_upgrade: false }
    }

    /// Polls for the next part of the body. `None` once the end was returned, and after an error.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyPart, ClientError>>> {
        if let Some(Decompressed { body, bytes_max }) = &mut self.decompressed {
            let (part, bytes_max) = (ready!(body.poll_part(cx)), *bytes_max);
            return Poll::Ready(Some(self.take_decompressed(part, bytes_max)));
        }
        let Some(exchange) = self.exchange.as_mut().filter(|_| !self.is_upgrade) else {
            return task::poll_proceed(cx).map(|()| None);
        };
        Poll::Ready(Some(match ready!(exchange.poll_body(cx)) {
            Ok(part) => {
                if let BodyPart::End(_) = part
                    && let Some(exchange) = self.exchange.take()
                {
                    exchange.finish();
                }
                Ok(part)
            }
            Err(kind) => Err(self.fail(kind)),
        }))
    }

    /// Returns a part of the body that is decompressed.
    fn take_decompressed(
        &mut self,
        part: Option<Result<Part, BodyError>>,
        bytes_max: u64,
    ) -> Result<BodyPart, ClientError> {
        let error = match part {
            Some(Ok(Part::Data(data))) => return Ok(BodyPart::Data(data)),
            Some(Ok(Part::Trailers(trailers))) => {
                self.decompressed = None;
                return Ok(BodyPart::End(Some(Box::new(trailers))));
            }
            None => {
                self.decompressed = None;
                return Ok(BodyPart::End(None));
            }
            Some(Err(error)) => error,
        };
        let kind = match error {
            BodyError::Coding(error) => ClientErrorKind::Coding(error),
            BodyError::Protocol(ProtocolError::BodyTooLarge) => {
                ClientErrorKind::TooLarge(bytes_max)
            }
            error => match error.into_cause().downcast() {
                // What was received failed, and says how.
                Ok(error) => {
                    self.decompressed = None;
                    return Err(*error);
                }
                Err(error) => ClientErrorKind::Content(error),
            },
        };
        Err(self.fail(kind))
    }

    /// Ends a response without a body.
    pub(super) fn end_at_once(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish_bodiless();
        }
    }

    /// Returns the exchange after a 101.
    pub(super) fn take_upgrade(&mut self) -> Option<Box<dyn Exchange>> {
        self.exchange.take_if(|_| self.is_upgrade)
    }

    /// Closes the connection.
    pub(super) fn fail(&mut self, kind: ClientErrorKind) -> ClientError {
        self.exchange = None;
        self.decompressed = None;
        ClientError::new(&self.label, kind)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.exchange.is_none() && self.decompressed.is_none()
    }

    /// Returns how many bytes of the body have not been read; `None` if that is unknown.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.exchange {
            Some(exchange) => exchange.body_remaining(),
            None if self.decompressed.is_some() => None,
            None => Some(0),
        }
    }

    /// Returns the length of the body as that of a [`Body`](crate::Body).
    pub(super) fn body_length(&self) -> BodyLength {
        match self.length() {
            _ if self.is_ended() || self.is_upgrade => BodyLength::Empty,
            Some(length) => BodyLength::Known(length),
            None => BodyLength::Unknown,
        }
    }
}

impl Stream for Remainder {
    type Item = Result<Part, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.poll_part(cx)) {
            Some(Ok(BodyPart::Data(data))) => Some(Ok(Part::Data(data))),
            Some(Ok(BodyPart::End(trailers))) => {
                trailers.map(|trailers| Ok(Part::Trailers(*trailers)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }
}

impl Drop for Remainder {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.abandon();
        }
    }
}
