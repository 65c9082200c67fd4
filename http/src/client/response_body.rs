//! The rest of a response, which is read part by part.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use futures_core::Stream;

use crate::client::exchange::{BodyPart, Exchange};
use crate::message::body_error::BoxError;
use crate::message::client_error::{ClientError, ClientErrorKind};
use crate::message::part::Part;
use crate::protocol::body_encoder::BodyLength;

/// What has not been read of a response. Its connection returns to the client's pool at the end of
/// the body. Dropping this earlier closes the connection, unless little is left.
pub(super) struct Remainder {
    /// Method and URL, for errors.
    pub(super) label: Rc<str>,
    /// Absent once the body has ended or failed.
    exchange: Option<Box<Exchange>>,
    /// After a 101 there is no body, but another protocol.
    is_upgrade: bool,
}

impl Remainder {
    pub(super) fn new(label: Rc<str>, exchange: Box<Exchange>, is_upgrade: bool) -> Self {
        Self { label, exchange: Some(exchange), is_upgrade }
    }

    /// Polls for the next part of the body. `None` once the end was returned, and after an error.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyPart, ClientError>>> {
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

    /// Ends a response without a body.
    pub(super) fn end_at_once(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish_bodiless();
        }
    }

    /// Returns the exchange after a 101.
    pub(super) fn take_upgrade(&mut self) -> Option<Box<Exchange>> {
        self.exchange.take_if(|_| self.is_upgrade)
    }

    /// Closes the connection.
    pub(super) fn fail(&mut self, kind: ClientErrorKind) -> ClientError {
        self.exchange = None;
        ClientError::new(&self.label, kind)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.exchange.is_none()
    }

    /// Returns how many bytes of the body have not been read; `None` if that is unknown.
    pub(super) fn length(&self) -> Option<u64> {
        self.exchange.as_ref().map_or(Some(0), |exchange| exchange.body_remaining())
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
