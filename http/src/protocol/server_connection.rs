//! The server's side of a connection: bytes in, requests out; responses in, bytes out.
//!
//! It knows no socket and no clock. The caller, its driver, follows these rules:
//!
//! 1. Bytes that were read go to [`receive`](ServerConnection::receive), or, to save a copy, to
//!    [`receive_owned`](ServerConnection::receive_owned). The end of the stream is reported with
//!    [`receive_eof`](ServerConnection::receive_eof).
//! 2. Between two requests the driver calls [`next_head`](ServerConnection::next_head), or
//!    [`receive_head`](ServerConnection::receive_head), which receives and decodes at once. While
//!    [`is_reading_body`](ServerConnection::is_reading_body) it calls
//!    [`next_body`](ServerConnection::next_body).
//! 3. There is one request at a time: the next head is decoded when the current request's body has
//!    been read and its response sent. So responses leave in the order of the requests, however
//!    many were pipelined.
//! 4. A response is one [`send_head`](ServerConnection::send_head), any number of parts sent
//!    through [`outgoing_body`](ServerConnection::outgoing_body), and one
//!    [`send_end`](ServerConnection::send_end); or one
//!    [`send_whole`](ServerConnection::send_whole). Each appends to the `out` that the driver
//!    writes. It may begin and end before the request's body has been read: then the driver reads
//!    the rest and discards it, or closes.
//! 5. After an error nothing more is parsed. If
//!    [`can_respond`](ServerConnection::can_respond), the driver sends the error's status with
//!    `send_head`, which adds `Connection: close`. Then it closes.
//! 6. After a 101 nothing more is parsed, either: [`upgrade`](ServerConnection::upgrade) returns
//!    the bytes of the other protocol that were received already.
//! 7. A response with `Connection: close`, whichever side wanted it, is the last one. What is
//!    received after its request is dropped.
//!
//! ```text
//!              head            body and response complete, kept
//!   Idle ───────────────► Active ──────────────────────────► Idle
//!    │                      │ ├─ 101 sent ───► Upgraded ───► Closed
//!    │ error          error │ └─ both complete, not kept ──► Closed
//!    └────────► Failed ◄────┘
//!                 └── response complete ─────────────────────► Closed
//! ```

// crates
use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, Version};

// ours
use crate::protocol::body_decoder::BodyEvent;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::date::DATE_BYTES;
use crate::protocol::decode::{check_incomplete_request, decode_request};
use crate::protocol::encode::{RequestContext, encode_response};
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::head::RequestHead;
use crate::protocol::headers::Headers;
use crate::protocol::incoming::Incoming;
use crate::protocol::limits::Limits;
use crate::protocol::outgoing_body::OutgoingBody;

/// How many empty lines before a request line are ignored (RFC 9112 section 2.2).
const BLANK_LINES_MAX: u8 = 2;

/// What [`ServerConnection::next_head`] found between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// No complete head is there: receive more, or finish the current request, then ask again.
    NeedData,
    /// The head of a request. Its body follows if its framing
    /// [has one](crate::protocol::Framing::has_body).
    Head,
    /// No more requests: the client has ended its side, or the last response has been sent.
    Closed,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two requests. Left by `begin` and `fail`.
    Idle,
    /// A request is being read, or its response sent, or both. Left by `end_if_complete` and
    /// `fail`, and for `Upgraded` by `send_head`.
    Active,
    /// A 101 has been sent: what is received belongs to another protocol, and waits for
    /// `upgrade`.
    Upgraded,
    /// Nothing is parsed any more, but a response may still be sent.
    Failed,
    /// Nothing is parsed and nothing sent. Never left.
    Closed,
}

/// The protocol state of one server connection. Holds no memory of its own while nothing is
/// received.
#[derive(Debug)]
pub struct ServerConnection {
    incoming: Incoming,
    outgoing_body: OutgoingBody,
    /// Empty lines ignored since the last request.
    blank_lines: u8,
    stage: Stage,
    /// The current request. The next response decides whether the connection is kept.
    request: RequestContext,
    /// The current request, or the error, has no response yet.
    is_response_due: bool,
    /// The client said that this request is its last one.
    is_last_request: bool,
    /// The client may be waiting for `100 Continue`.
    is_continue_due: bool,
    /// 101 is a valid response.
    wants_upgrade: bool,
}

impl ServerConnection {
    /// Returns a connection on which nothing has been received.
    #[must_use]
    pub fn new() -> Self {
        Self {
            incoming: Incoming::new(),
            outgoing_body: OutgoingBody::none(),
            blank_lines: 0,
            stage: Stage::Idle,
            request: RequestContext { is_head: false, is_http_10: false, keep_alive: true },
            is_response_due: false,
            is_last_request: false,
            is_continue_due: false,
            wants_upgrade: false,
        }
    }

    /// Takes bytes that were read from the client. They are copied once, into memory of exactly
    /// their size if nothing was left undecoded.
    pub fn receive(&mut self, data: &[u8]) {
        self.incoming.receive(data);
    }

    /// Takes bytes that were read from the client, with their memory: a part of a large body is
    /// handed out in the same memory, uncopied. Copies nevertheless if less than half of the
    /// capacity is used, or something was left undecoded.
    pub fn receive_owned(&mut self, data: Vec<u8>) {
        self.incoming.receive_owned(data, 0);
    }

    /// Notes that the client sends no more. What was received before is still decoded.
    pub const fn receive_eof(&mut self) {
        self.incoming.receive_eof();
    }

    /// Decodes the next request's head into `head`, whose memory is reused: decoding one head
    /// after another allocates nothing. `head` is meaningful only after
    /// [`RequestEvent::Head`], until the next call.
    ///
    /// # Errors
    /// If the client broke the protocol or a limit. Returned once; then [`RequestEvent::Closed`].
    // Inlined, with the search for a head, into the one place of the server that needs both.
    #[inline(always)]
    pub fn next_head(
        &mut self,
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Result<RequestEvent, ProtocolError> {
        match self.stage {
            Stage::Idle => {}
            Stage::Active | Stage::Upgraded => return Ok(RequestEvent::NeedData),
            Stage::Failed | Stage::Closed => return Ok(RequestEvent::Closed),
        }
        let event = self.decode_head(head, limits).map_err(|error| self.fail(error))?;
        match event {
            RequestEvent::Head => self.begin(head, limits),
            RequestEvent::Closed => self.close(),
            RequestEvent::NeedData => {}
        }
        Ok(event)
    }

    /// Does what [`receive`](Self::receive) and then [`next_head`](Self::next_head) do. A complete
    /// head at the start of `data` is decoded where it is: nothing of a request without a body is
    /// kept here, and no memory is allocated for it.
    ///
    /// # Errors
    /// As for [`next_head`](Self::next_head).
    #[inline(always)]
    pub fn receive_head(
        &mut self,
        data: &[u8],
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Result<RequestEvent, ProtocolError> {
        let may_be_head = data.first().is_some_and(|first| *first != b'\r');
        if may_be_head && self.is_idle() {
            match decode_request(data, &mut self.incoming.head_scanned, limits, head) {
                Ok(Some(length)) => {
                    self.receive(&data[length..]);
                    self.begin(head, limits);
                    return Ok(RequestEvent::Head);
                }
                Ok(None) => {}
                Err(error) => {
                    // What was received of the head decides what the error response looks like.
                    self.receive(data);
                    return Err(self.fail(error));
                }
            }
        }
        self.receive(data);
        self.next_head(head, limits)
    }

    /// Decodes the next part of the current request's body. Without a body, and after its end,
    /// returns [`BodyEvent::End`].
    ///
    /// # Errors
    /// If the client broke the protocol or a limit. Each later call returns the same error.
    pub fn next_body(&mut self, limits: &Limits) -> Result<BodyEvent, ProtocolError> {
        self.is_continue_due &= self.incoming.buffer.is_empty();
        let event = self.incoming.next_body(limits);
        match &event {
            Ok(BodyEvent::End(_)) => self.end_if_complete(),
            Ok(BodyEvent::NeedData | BodyEvent::Data(_)) => {}
            Err(error) => {
                self.fail(*error);
            }
        }
        event
    }

    /// Returns the receiving half, to be read into.
    pub(crate) const fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    #[inline(always)]
    fn decode_head(
        &mut self,
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Result<RequestEvent, ProtocolError> {
        let is_blank = self.skip_blank_lines();
        let Incoming { buffer, head_scanned, at_eof, .. } = &mut self.incoming;
        if !is_blank && let Some(length) = decode_request(buffer, head_scanned, limits, head)? {
            buffer.skip(length);
            return Ok(RequestEvent::Head);
        }
        match (*at_eof, is_blank) {
            (false, _) => Ok(RequestEvent::NeedData),
            (true, true) => Ok(RequestEvent::Closed),
            (true, false) => Err(self.error_of_head(ProtocolError::UnexpectedEnd, limits)),
        }
    }

    /// Returns the error of a head that will not be completed because of `reason`. That is the
    /// error in what has been received of it, if there is one.
    #[cold]
    fn error_of_head(&self, reason: ProtocolError, limits: &Limits) -> ProtocolError {
        check_incomplete_request(&self.incoming.buffer, limits).err().unwrap_or(reason)
    }

    /// Skips the empty lines that are ignored. Returns `true` if nothing is left.
    #[inline(always)]
    fn skip_blank_lines(&mut self) -> bool {
        let buffer = &mut self.incoming.buffer;
        loop {
            match &**buffer {
                [] => return true,
                [b'\r'] if self.blank_lines < BLANK_LINES_MAX => return true,
                [b'\r', b'\n', ..] if self.blank_lines < BLANK_LINES_MAX => {
                    self.blank_lines += 1;
                    buffer.skip(2);
                }
                _ => return false,
            }
        }
    }

    fn begin(&mut self, head: &RequestHead, limits: &Limits) {
        self.stage = Stage::Active;
        self.blank_lines = 0;
        self.incoming.begin_body(head.framing());
        self.incoming.set_body_limit(limits.body_bytes_max);
        self.is_response_due = true;
        self.request = RequestContext {
            is_head: *head.method() == Method::HEAD,
            is_http_10: head.version() == Version::HTTP_10,
            keep_alive: head.keep_alive() && self.request.keep_alive,
        };
        self.is_last_request = !head.keep_alive();
        self.is_continue_due = head.expects_continue();
        self.wants_upgrade = head.wants_upgrade;
    }

    /// Ends the parsing because of `error`, and returns it.
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        match self.stage {
            Stage::Idle => {
                self.is_response_due = true;
                // The response to `HEAD` has no body, also if something after the method is wrong.
                let is_head = self.incoming.buffer.starts_with(b"HEAD ");
                self.request = RequestContext { is_head, is_http_10: false, keep_alive: false };
            }
            Stage::Active => {}
            Stage::Upgraded | Stage::Failed | Stage::Closed => return error,
        }
        self.request.keep_alive = false;
        self.is_continue_due = false;
        self.wants_upgrade = false;
        self.stage = if self.is_responding() { Stage::Failed } else { Stage::Closed };
        self.incoming.fail(error);
        error
    }

    /// Returns `true` if a response is due or being sent.
    const fn is_responding(&self) -> bool {
        self.is_response_due || self.outgoing_body.is_active()
    }

    /// Ends the current request if its body has been read and its response sent.
    fn end_if_complete(&mut self) {
        match self.stage {
            Stage::Active if self.is_responding() || !self.incoming.is_body_done() => {}
            Stage::Active if self.request.keep_alive => self.stage = Stage::Idle,
            Stage::Active | Stage::Failed => self.close(),
            Stage::Idle | Stage::Upgraded | Stage::Closed => {}
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.incoming.close();
    }
}

/// # What the driver asks
impl ServerConnection {
    /// Returns `true` between two requests if nothing of the next one was received: the state in
    /// which the keep-alive timeout runs, and in which a connection may be shed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle && self.incoming.buffer.is_empty()
    }

    /// Returns `true` if `next_head` can only return [`RequestEvent::NeedData`].
    pub(crate) fn needs_data(&self) -> bool {
        self.is_idle() && !self.incoming.at_eof
    }

    /// Returns `true` if a part of a head was received: the state in which the head timeout runs.
    #[must_use]
    pub fn is_reading_head(&self) -> bool {
        self.stage == Stage::Idle && !self.incoming.buffer.is_empty()
    }

    /// Returns `true` if the end of the current request's body has not been read.
    #[must_use]
    pub const fn is_reading_body(&self) -> bool {
        matches!(self.stage, Stage::Active) && !self.incoming.is_body_done()
    }

    /// Returns how many bytes of the current request's body have not been decoded; `None` if the
    /// body comes in chunks.
    #[must_use]
    pub const fn body_remaining(&self) -> Option<u64> {
        self.incoming.body_remaining()
    }

    /// Returns `true` if the current request, or the error, has no response yet.
    #[must_use]
    pub const fn can_respond(&self) -> bool {
        self.is_response_due && !matches!(self.stage, Stage::Closed)
    }

    /// Returns `true` if a response has been begun and is not complete.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        self.outgoing_body.is_active()
    }

    /// Returns `true` if the response that was begun has a body, unlike one to `HEAD` or one with
    /// a status that has none.
    #[must_use]
    pub const fn sends_body(&self) -> bool {
        !self.outgoing_body.is_dropped()
    }

    /// Returns `true` if only the end of the connection shows the client that the response that
    /// was begun is complete.
    #[must_use]
    pub const fn ends_body_by_closing(&self) -> bool {
        self.outgoing_body.ends_by_closing()
    }

    /// Returns `true` if the connection is kept after the current response, as far as is known.
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.request.keep_alive && !matches!(self.stage, Stage::Closed)
    }

    /// Returns `true` if the client sends nothing after the current request: it said so, or has
    /// ended its side. Otherwise another request may be on its way when the connection is closed,
    /// and reset it (RFC 9112 section 9.6).
    #[must_use]
    pub const fn is_last_request(&self) -> bool {
        self.is_last_request || self.incoming.at_eof
    }

    /// Returns how many bytes were received and not decoded.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.incoming.buffer.len()
    }

    /// Returns `true` if the client may be waiting for `100 Continue`: it sent
    /// `Expect: 100-continue`, nothing of the body was received, and no response was begun. To be
    /// asked when a handler wants the body and `next_body` returned [`BodyEvent::NeedData`].
    #[must_use]
    pub fn needs_continue(&self) -> bool {
        self.is_continue_due && self.incoming.buffer.is_empty()
    }
}

/// # What the driver decides
impl ServerConnection {
    /// Sets how many bytes the current request's body may have, instead of
    /// [`Limits::body_bytes_max`]. To be called between the request's head and its body.
    pub const fn set_body_limit(&mut self, bytes_max: u64) {
        self.incoming.set_body_limit(bytes_max);
    }

    /// Checks the announced length of the body against its limit. `next_body` checks it as well;
    /// this is for a driver that refuses the request before it reads the body.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`].
    pub fn check_body_limit(&self) -> Result<(), ProtocolError> {
        self.incoming.check_body_limit()
    }

    /// Ends the parsing because of `reason`, which the driver found: a timeout. As after an error
    /// in what was received, only a response that is still due can be sent. Returns the error to
    /// respond with: if the head of a request is incomplete and also invalid, what is wrong with
    /// it, otherwise `reason`.
    pub fn give_up(&mut self, reason: ProtocolError, limits: &Limits) -> ProtocolError {
        let error = match self.is_reading_head() {
            true => self.error_of_head(reason, limits),
            false => reason,
        };
        self.fail(error)
    }

    /// Makes the current response, or the next one if there is none, the last one.
    pub const fn close_after_response(&mut self) {
        self.request.keep_alive = false;
    }
}

/// # Sending
impl ServerConnection {
    /// Appends `100 Continue` if the client is waiting for it. Returns `true` if so.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) -> bool {
        let is_due = self.needs_continue();
        if is_due {
            self.is_continue_due = false;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        is_due
    }

    /// Appends the head of the response. Adds the headers that frame the body and those that keep
    /// or close the connection; see the crate's documentation for what `headers` may say of them.
    ///
    /// An informational status other than 101 is sent in addition to the response, which is then
    /// still due; it is not sent to a 1.0 client (RFC 9110 section 15.2).
    ///
    /// A final response while the client waits for `100 Continue` closes the connection, because
    /// it is not known whether the body will follow (RFC 9110 section 10.1.1).
    ///
    /// # Errors
    /// [`EncodeError::OutOfTurn`] if no response is due, [`EncodeError::Status`] for 101 if the
    /// client did not ask for an upgrade, and [`EncodeError::TransferEncoding`] and
    /// [`EncodeError::ContentLength`] if `headers` contradict the body. Nothing is appended then,
    /// and another response may be sent.
    #[inline(always)]
    pub fn send_head(
        &mut self,
        status: StatusCode,
        headers: &Headers,
        length: BodyLength,
        date: &[u8; DATE_BYTES],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !self.can_respond() {
            return Err(EncodeError::OutOfTurn);
        }
        let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgrade && !self.wants_upgrade {
            return Err(EncodeError::Status(status));
        }
        if status.is_informational() && !is_upgrade {
            if !self.request.is_http_10 {
                encode_response(status, headers, BodyLength::Empty, self.request, date, out)?;
            }
            return Ok(());
        }
        let mut request = self.request;
        request.keep_alive &= !self.needs_continue();
        let (body, keep_alive) = encode_response(status, headers, length, request, date, out)?;
        self.request.keep_alive = keep_alive;
        self.is_continue_due = false;
        self.is_response_due = false;
        self.outgoing_body.begin(body);
        if is_upgrade {
            self.stage = Stage::Upgraded;
        }
        Ok(())
    }

    /// Appends a whole response whose body is complete: what [`send_head`](Self::send_head),
    /// [`OutgoingBody::send_data`] and [`send_end`](Self::send_end) append together.
    ///
    /// # Errors
    /// Those of [`send_head`](Self::send_head), and [`EncodeError::Status`] for an informational
    /// status, which does not end a request. Nothing is appended then, and another response may
    /// be sent.
    #[inline(always)]
    pub fn send_whole(
        &mut self,
        status: StatusCode,
        headers: &Headers,
        body: &[u8],
        date: &[u8; DATE_BYTES],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if status.is_informational() {
            return Err(EncodeError::Status(status));
        }
        let length = match body.len() {
            0 => BodyLength::Empty,
            length => BodyLength::Known(length as u64),
        };
        self.send_head(status, headers, length, date, out)?;
        if self.sends_body() {
            out.extend_from_slice(body);
        }
        self.outgoing_body.clear();
        self.end_if_complete();
        Ok(())
    }

    /// Returns the body of the response that was begun, to send parts of it.
    pub const fn outgoing_body(&mut self) -> &mut OutgoingBody {
        &mut self.outgoing_body
    }

    /// Appends the end of the response. Trailers are left out unless the body comes in chunks.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooShort`] if less was sent than announced: then the connection can
    /// only be closed, so that the client notices. [`EncodeError::Trailer`] for a trailer that
    /// may not be one, and [`EncodeError::OutOfTurn`] if no response is in progress.
    pub fn send_end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.outgoing_body.end(trailers, out)?;
        self.end_if_complete();
        Ok(())
    }

    /// Gives the connection up to another protocol after a 101. Returns the bytes of that protocol
    /// that were received already. Nothing more is parsed.
    pub fn upgrade(&mut self) -> BytesMut {
        let rest = self.incoming.take_rest();
        self.outgoing_body.clear();
        self.is_response_due = false;
        self.close();
        rest
    }
}

impl Default for ServerConnection {
    fn default() -> Self {
        Self::new()
    }
}
