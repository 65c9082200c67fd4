//! The client's side of a connection: one request at a time, as strict as the server's side.
//!
//! 1. A request is one [`send_head`](ClientConnection::send_head), any number of parts sent through
//!    [`outgoing_body`](ClientConnection::outgoing_body), and one
//!    [`send_end`](ClientConnection::send_end). The response may begin, and end, before that.
//! 2. The driver calls [`next_head`](ClientConnection::next_head) until it returns the final head,
//!    then [`next_body`](ClientConnection::next_body) until it returns the end, also if there is no
//!    body.
//! 3. The next request may be sent when [`is_idle`](ClientConnection::is_idle). If that does not
//!    become `true`, the connection cannot be used again.
//! 4. After an error nothing more is parsed.

// crates
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

// ours
use crate::protocol::body_decoder::BodyEvent;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::decode::decode_response;
use crate::protocol::encode::encode_request;
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::framing::Framing;
use crate::protocol::head::ResponseHead;
use crate::protocol::headers::Headers;
use crate::protocol::incoming::Incoming;
use crate::protocol::limits::Limits;
use crate::protocol::outgoing_body::OutgoingBody;

/// How many informational responses may precede a response. A server that sends progress, 102 or
/// 103, sends a few.
const INFORMATIONAL_MAX: u8 = 100;

/// What [`ClientConnection::next_head`] found.
#[derive(Debug)]
pub enum ResponseEvent {
    /// No complete head is there: send a request or receive more, then ask again.
    NeedData,
    /// The head of an informational response, such as `100 Continue`. The final one follows.
    Informational(ResponseHead),
    /// The head of the final response. Its body follows, unless its status is 101.
    Head(ResponseHead),
    /// The server has closed the connection, or it cannot be used again.
    Closed,
}

/// What is expected from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: no request has been sent since the last response.
    Idle,
    /// The head of a response.
    Head,
    /// The body of the response.
    Body,
    /// Another protocol's bytes, after a 101.
    Upgraded,
    /// Nothing. Never left.
    Closed,
}

/// The protocol state of one client connection. Holds no memory of its own while nothing is
/// received.
#[derive(Debug)]
pub struct ClientConnection {
    incoming: Incoming,
    /// The request's body, until its end has been sent.
    outgoing_body: OutgoingBody,
    stage: Stage,
    /// Informational responses to the current request.
    informational: u8,
    /// The request was `HEAD`.
    is_head: bool,
    keep_alive: bool,
}

impl ClientConnection {
    /// Returns a connection on which nothing has been sent.
    #[must_use]
    pub fn new() -> Self {
        Self {
            incoming: Incoming::new(),
            outgoing_body: OutgoingBody::none(),
            stage: Stage::Idle,
            informational: 0,
            is_head: false,
            keep_alive: true,
        }
    }

    /// Appends the head of a request. `target` is `/path?query`, or in absolute form to a proxy;
    /// `authority` is the host and port for `Host`, which `headers` may override.
    ///
    /// # Errors
    /// [`EncodeError::OutOfTurn`] if the connection is not [idle](Self::is_idle), and
    /// [`EncodeError::Target`], [`EncodeError::Host`], [`EncodeError::TransferEncoding`],
    /// [`EncodeError::ContentLength`] for what cannot be sent. Nothing is appended then.
    pub fn send_head(
        &mut self,
        method: &Method,
        target: &str,
        authority: &str,
        headers: &Headers,
        length: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !self.is_idle() {
            return Err(EncodeError::OutOfTurn);
        }
        let (body, keep_alive) = encode_request(method, target, authority, headers, length, out)?;
        self.outgoing_body.begin(body);
        self.keep_alive = keep_alive;
        self.is_head = *method == Method::HEAD;
        self.stage = Stage::Head;
        self.informational = 0;
        self.incoming.set_body_limit(u64::MAX);
        Ok(())
    }

    /// Sets how many bytes the response's body may have; unlimited otherwise. To be called after
    /// the request's head was sent.
    pub const fn set_body_limit(&mut self, bytes_max: u64) {
        self.incoming.set_body_limit(bytes_max);
    }

    /// Returns the body of the request that was begun, to send parts of it.
    pub const fn outgoing_body(&mut self) -> &mut OutgoingBody {
        &mut self.outgoing_body
    }

    /// Appends the end of the request. Trailers are left out unless the body comes in chunks.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooShort`] if less was sent than announced,
    /// [`EncodeError::Trailer`] for a trailer that may not be one,
    /// [`EncodeError::OutOfTurn`] if no request is being sent.
    pub fn send_end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.outgoing_body.end(trailers, out)
    }

    /// Takes bytes that were read from the server. They are copied once, into memory of exactly
    /// their size if nothing was left undecoded.
    pub fn receive(&mut self, data: &[u8]) {
        self.incoming.receive(data);
    }

    /// Takes bytes that were read from the server, with their memory: a part of a large body is
    /// handed out in the same memory, uncopied. Copies nevertheless if less than half of the
    /// capacity is used, or something was left undecoded.
    pub fn receive_owned(&mut self, data: Vec<u8>) {
        self.incoming.receive_owned(data, 0);
    }

    /// Notes that the server sends no more. What was received before is still decoded.
    pub const fn receive_eof(&mut self) {
        self.incoming.receive_eof();
    }

    /// Decodes the next head.
    ///
    /// # Errors
    /// If the server broke the protocol or a limit, or sent something that was not asked for. More
    /// than 100 informational responses to a request are an error, too.
    /// Returned once; then [`ResponseEvent::Closed`].
    pub fn next_head(&mut self, limits: &Limits) -> Result<ResponseEvent, ProtocolError> {
        let event = match self.stage {
            Stage::Idle if !self.incoming.buffer.is_empty() => {
                Err(ProtocolError::UnexpectedResponse)
            }
            Stage::Idle if self.incoming.at_eof => Ok(ResponseEvent::Closed),
            Stage::Idle | Stage::Body => Ok(ResponseEvent::NeedData),
            Stage::Head => self.decode_head(limits),
            Stage::Upgraded | Stage::Closed => return Ok(ResponseEvent::Closed),
        };
        match &event {
            Ok(ResponseEvent::Closed) => self.close(),
            Ok(_) => {}
            Err(error) => self.fail(*error),
        }
        event
    }

    /// Decodes the next part of the response's body. Without a body, and after its end, returns
    /// [`BodyEvent::End`].
    ///
    /// # Errors
    /// If the server broke the protocol or a limit. Each later call returns the same error.
    pub fn next_body(&mut self, limits: &Limits) -> Result<BodyEvent, ProtocolError> {
        let event = self.incoming.next_body(limits);
        match &event {
            Ok(BodyEvent::End(_)) if self.stage == Stage::Body => {
                self.stage = Stage::Idle;
                if !self.keep_alive {
                    self.close();
                }
            }
            Ok(_) => {}
            Err(error) => self.fail(*error),
        }
        event
    }

    /// Returns `true` if a request may be sent: the last one and its response are complete, and
    /// the connection is kept.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_quiet = self.incoming.buffer.is_empty() && !self.incoming.at_eof;
        self.stage == Stage::Idle && !self.outgoing_body.is_active() && is_quiet
    }

    /// Returns `true` between the head and the end of a response.
    #[must_use]
    pub fn is_reading_body(&self) -> bool {
        self.stage == Stage::Body
    }

    /// Returns `true` if the connection is kept after the current response, as far as is known.
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive && !matches!(self.stage, Stage::Upgraded | Stage::Closed)
    }

    /// Returns how many bytes of the response's body have not been decoded; `None` if its head
    /// did not say.
    #[must_use]
    pub const fn body_remaining(&self) -> Option<u64> {
        self.incoming.body_remaining()
    }

    /// Returns how many bytes were received and not decoded.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.incoming.buffer.len()
    }

    /// Gives the connection up to another protocol after a 101. Returns the bytes of that protocol
    /// that were received already.
    pub fn upgrade(&mut self) -> BytesMut {
        let rest = self.incoming.take_rest();
        self.close();
        rest
    }

    /// Returns the receiving half, to be read into.
    pub(crate) const fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn decode_head(&mut self, limits: &Limits) -> Result<ResponseEvent, ProtocolError> {
        let Incoming { buffer, head_scanned, at_eof, .. } = &mut self.incoming;
        let Some(head) = decode_response(buffer, head_scanned, self.is_head, limits)? else {
            return match (*at_eof, buffer.is_empty()) {
                (false, _) => Ok(ResponseEvent::NeedData),
                (true, true) => Ok(ResponseEvent::Closed),
                (true, false) => Err(ProtocolError::UnexpectedEnd),
            };
        };
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.stage = Stage::Upgraded;
            return Ok(ResponseEvent::Head(head));
        }
        if head.status().is_informational() {
            if self.informational == INFORMATIONAL_MAX {
                return Err(ProtocolError::TooManyInformational);
            }
            self.informational += 1;
            return Ok(ResponseEvent::Informational(head));
        }
        self.keep_alive &= head.keep_alive() && head.framing() != Framing::UntilClose;
        self.incoming.begin_body(head.framing());
        self.stage = Stage::Body;
        Ok(ResponseEvent::Head(head))
    }

    fn fail(&mut self, error: ProtocolError) {
        self.incoming.fail(error);
        self.close();
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.keep_alive = false;
        self.outgoing_body.clear();
        self.incoming.close();
    }
}

impl Default for ClientConnection {
    fn default() -> Self {
        Self::new()
    }
}
