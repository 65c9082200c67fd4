//! The client's side of a connection: one request at a time, as strict as the server's side.
//!
//! 1. A request is one [`send_head`](ClientConnection::send_head), any number of parts, and one
//!    [`send_end`](ClientConnection::send_end). The response may begin, and end, before that.
//! 2. After [`Response`](ClientEvent::Response) come the parts of its body and
//!    [`BodyEnd`](ClientEvent::BodyEnd), which comes even if there is no body.
//! 3. The next request may be sent when [`is_idle`](ClientConnection::is_idle); if that does not
//!    become `true` the connection is spent.
//! 4. After [`Error`](ClientEvent::Error) nothing more is parsed.

// crates
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};

// ours
use crate::protocol::body_decoder::{BodyDecoder, BodyPart};
use crate::protocol::body_encoder::{BodyEncoder, BodyLength};
use crate::protocol::decode::decode_response;
use crate::protocol::encode::encode_request;
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::framing::Framing;
use crate::protocol::head::ResponseHead;
use crate::protocol::headers::Headers;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

/// What [`ClientConnection::next_event`] found.
#[derive(Debug)]
pub enum ClientEvent {
    /// Nothing to do until more is received or sent.
    NeedData,
    /// An informational response, `100 Continue` among them. The final one is still to come.
    Informational(ResponseHead),
    /// The response. Its body and `BodyEnd` follow, unless its status is 101.
    Response(ResponseHead),
    /// A part of the body, never empty.
    Body(Bytes),
    /// The end of the response, with the trailers if there were any.
    BodyEnd(Option<Box<HeaderMap>>),
    /// The server has closed the connection, or it cannot be used again.
    Closed,
    /// The server broke the protocol. Said once, then `Closed`.
    Error(ProtocolError),
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
    /// Nothing ever; also after a 101, whose bytes are another protocol's.
    Closed,
}

/// One client connection. Holds no memory of its own while nothing is received.
#[derive(Debug)]
pub struct ClientConnection {
    buffer: ReceiveBuffer,
    body: BodyDecoder,
    /// The request's body, until its end has been sent.
    sending: Option<BodyEncoder>,
    /// How many bytes the response's body may still have.
    body_allowance: u64,
    head_scanned: u16,
    stage: Stage,
    /// The request was `HEAD`.
    to_head: bool,
    keep_alive: bool,
    at_eof: bool,
}

impl ClientConnection {
    /// A connection on which nothing has been sent.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: ReceiveBuffer::default(),
            body: BodyDecoder::Done,
            sending: None,
            body_allowance: 0,
            head_scanned: 0,
            stage: Stage::Idle,
            to_head: false,
            keep_alive: true,
            at_eof: false,
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
        self.sending = Some(body);
        self.keep_alive = keep_alive;
        self.to_head = *method == Method::HEAD;
        self.stage = Stage::Head;
        self.body_allowance = u64::MAX;
        Ok(())
    }

    /// Sets how long the response's body may be, in bytes; without limit otherwise. To be called
    /// after the request's head was sent.
    pub const fn set_body_limit(&mut self, bytes_max: u64) {
        self.body_allowance = bytes_max;
    }

    /// Appends a part of the request's body, framed as the head says.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooLong`] if it is more than announced, [`EncodeError::OutOfTurn`] if
    /// no request is being sent. Nothing is appended then.
    pub fn send_data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.sending.as_mut().ok_or(EncodeError::OutOfTurn)?.data(data, out)
    }

    /// Appends what comes before `length` bytes that the caller writes by itself. Returns `true`
    /// if it has to write them and then call [`end_data`](Self::end_data).
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data).
    pub fn begin_data(&mut self, length: usize, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        self.sending.as_mut().ok_or(EncodeError::OutOfTurn)?.begin_data(length, out)
    }

    /// Appends what comes after the bytes that [`begin_data`](Self::begin_data) announced.
    pub fn end_data(&self, out: &mut Vec<u8>) {
        if let Some(body) = &self.sending {
            body.end_data(out);
        }
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
        self.sending.as_ref().ok_or(EncodeError::OutOfTurn)?.end(trailers, out)?;
        self.sending = None;
        Ok(())
    }

    /// Takes what was read from the server.
    pub fn receive(&mut self, data: &[u8]) {
        if self.stage != Stage::Closed || self.keep_alive {
            self.buffer.append(data);
        }
    }

    /// Takes notice that the server sends no more. What was received before is still decoded.
    pub const fn receive_eof(&mut self) {
        self.at_eof = true;
    }

    /// What comes next of what was received.
    pub fn next_event(&mut self, limits: &Limits) -> ClientEvent {
        let event = match self.stage {
            Stage::Idle if !self.buffer.is_empty() => Err(ProtocolError::UnexpectedResponse),
            Stage::Idle if self.at_eof => Ok(self.closed()),
            Stage::Idle => Ok(ClientEvent::NeedData),
            Stage::Head => self.next_head(limits),
            Stage::Body => self.next_body_part(limits),
            Stage::Closed => Ok(ClientEvent::Closed),
        };
        event.unwrap_or_else(|error| {
            self.closed();
            ClientEvent::Error(error)
        })
    }

    /// Returns `true` if a request may be sent: the last one and its response are over, and the
    /// connection is kept.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_quiet = self.buffer.is_empty() && !self.at_eof;
        self.stage == Stage::Idle && self.sending.is_none() && is_quiet
    }

    /// Returns `true` if the connection goes on after the current response, as far as is known.
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive && !matches!(self.stage, Stage::Closed)
    }

    /// How many bytes of the response's body have not been handed out, if its head said so.
    #[must_use]
    pub const fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// How many bytes were received and not decoded.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the connection up to another protocol after a 101: returns what the server has sent
    /// of it already.
    pub fn upgrade(&mut self) -> BytesMut {
        let rest = self.buffer.take_all();
        self.closed();
        rest
    }

    fn next_head(&mut self, limits: &Limits) -> Result<ClientEvent, ProtocolError> {
        let scanned = &mut self.head_scanned;
        let Some(head) = decode_response(&mut self.buffer, scanned, self.to_head, limits)? else {
            return match (self.at_eof, self.buffer.is_empty()) {
                (false, _) => Ok(ClientEvent::NeedData),
                (true, true) => Ok(self.closed()),
                (true, false) => Err(ProtocolError::UnexpectedEnd),
            };
        };
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.stage = Stage::Closed;
            return Ok(ClientEvent::Response(head));
        }
        if head.status().is_informational() {
            return Ok(ClientEvent::Informational(head));
        }
        self.keep_alive &= head.keep_alive() && head.framing() != Framing::UntilClose;
        self.body = BodyDecoder::new(head.framing());
        self.stage = Stage::Body;
        Ok(ClientEvent::Response(head))
    }

    fn next_body_part(&mut self, limits: &Limits) -> Result<ClientEvent, ProtocolError> {
        let allowance = &mut self.body_allowance;
        match self.body.decode(&mut self.buffer, self.at_eof, allowance, limits)? {
            BodyPart::NeedData => Ok(ClientEvent::NeedData),
            BodyPart::Data(data) => Ok(ClientEvent::Body(data)),
            BodyPart::End(trailers) => {
                self.stage = Stage::Idle;
                if !self.keep_alive {
                    self.closed();
                }
                Ok(ClientEvent::BodyEnd(trailers))
            }
        }
    }

    fn closed(&mut self) -> ClientEvent {
        self.stage = Stage::Closed;
        self.keep_alive = false;
        self.sending = None;
        self.buffer.clear();
        ClientEvent::Closed
    }
}

impl Default for ClientConnection {
    fn default() -> Self {
        Self::new()
    }
}
