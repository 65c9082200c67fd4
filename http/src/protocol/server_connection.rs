//! The server's side of a connection: bytes in, events out, bytes out.
//!
//! It knows no socket and no clock. Whoever drives it obeys, and may rely on, these rules:
//!
//! 1. What was read goes into [`receive`](Connection::receive), the end of the stream into
//!    [`receive_eof`](Connection::receive_eof). [`next_event`](Connection::next_event) is asked
//!    until it says [`NeedData`](Event::NeedData), [`Paused`](Event::Paused) or
//!    [`Closed`](Event::Closed). [`receive_into`](Connection::receive_into) does both at once;
//!    [`receive_owned`](Connection::receive_owned) takes memory over.
//! 2. There is one request at a time. After [`Request`](Event::Request) come the parts of its
//!    body and [`BodyEnd`](Event::BodyEnd), if it has a body; then `Paused` until its answer is
//!    complete. So answers leave in the order of the requests, however many were pipelined.
//! 3. An answer is one [`send_head`](Connection::send_head), any number of parts, and one
//!    [`send_end`](Connection::send_end), or one [`send_whole`](Connection::send_whole), each
//!    appended to the `out` that the caller writes. It may begin and end before the request's body
//!    has been read.
//! 4. A request is over when its answer and its body are. Whoever answered without reading reads
//!    on (and drops the data), or closes; until then no other request comes.
//! 5. After [`Error`](Event::Error) nothing more is parsed. If
//!    [`can_answer`](Connection::can_answer), the error's status is sent with `send_head`, which
//!    says `Connection: close`; then, or else at once, the caller closes.
//! 6. After a 101 nothing is parsed either: [`upgrade`](Connection::upgrade) hands out what the
//!    client has sent of the other protocol.
//! 7. An answer that says `Connection: close`, whoever wanted it, is the last one. What is
//!    received after its request is dropped.
//!
//! ```text
//!             Request              both over, kept alive
//!   Idle ───────────────► Active ──────────────────────────► Idle
//!    │                      │ ├─ 101 sent ───► Upgraded ───► Closed
//!    │ Error          Error │ └─ both over, not kept ──────► Closed
//!    └────────► Failed ◄────┘
//!                 └── answer over ─────────────────────────► Closed
//! ```

// crates
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};

// ours
use crate::protocol::body_decoder::{BodyDecoder, BodyPart};
use crate::protocol::body_encoder::{BodyEncoder, BodyLength};
use crate::protocol::date::DATE_BYTES;
use crate::protocol::decode::{check_incomplete_request, decode_request};
use crate::protocol::encode::{RequestContext, encode_response};
use crate::protocol::error::{EncodeError, ProtocolError};
use crate::protocol::head::RequestHead;
use crate::protocol::headers::Headers;
use crate::protocol::limits::Limits;
use crate::protocol::receive_buffer::ReceiveBuffer;

/// How many empty lines before a request line are ignored (RFC 9112 section 2.2).
const BLANK_LINES_MAX: u8 = 2;

/// What [`Connection::next_event`] found.
#[derive(Debug)]
pub enum Event<Head = RequestHead> {
    /// Nothing to do until more is received.
    NeedData,
    /// A request. If its framing [has a body](crate::protocol::Framing::has_body), `Body` and
    /// `BodyEnd` follow.
    Request(Head),
    /// A part of the request's body, never empty.
    Body(Bytes),
    /// The end of the request's body, with the trailers if there were any.
    BodyEnd(Option<Box<HeaderMap>>),
    /// The request has been read; the next one is decoded when this one has been answered. Or a
    /// 101 has been sent.
    Paused,
    /// The end: the peer is done between two requests, or the last answer has been sent.
    Closed,
    /// The peer broke the protocol. Said once, then `Closed`.
    Error(ProtocolError),
}

impl<Head> Event<Head> {
    /// The same event, with what `map` makes of the head of a request.
    pub fn map_head<Other>(self, map: impl FnOnce(Head) -> Other) -> Event<Other> {
        match self {
            Self::Request(head) => Event::Request(map(head)),
            Self::NeedData => Event::NeedData,
            Self::Body(data) => Event::Body(data),
            Self::BodyEnd(trailers) => Event::BodyEnd(trailers),
            Self::Paused => Event::Paused,
            Self::Closed => Event::Closed,
            Self::Error(error) => Event::Error(error),
        }
    }
}

/// Where the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two requests. Left by `next_event` when a head is complete or wrong.
    Idle,
    /// A request is being read, answered, or both. Left by `turn_over` or `fail`.
    Active,
    /// A 101 has been sent: what is received belongs to another protocol, and waits for
    /// `upgrade`.
    Upgraded,
    /// Nothing is parsed any more, but an answer may still be sent.
    Failed,
    /// Nothing is parsed and nothing sent. Never left.
    Closed,
}

/// What comes after a request.
enum Next {
    Head,
    NeedData,
    End,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Not begun.
    Due,
    /// The head has been sent, and parts of the body perhaps.
    Body(BodyEncoder),
    /// Complete, or there is nothing to answer.
    Over,
}

/// One server connection. Holds no memory of its own while nothing is received.
#[derive(Debug)]
pub struct Connection {
    buffer: ReceiveBuffer,
    body: BodyDecoder,
    answer: Answer,
    /// How many bytes this request's body may still have.
    body_allowance: u64,
    /// How much of an incomplete head has been searched for its end.
    head_scanned: u16,
    /// Empty lines ignored since the last request.
    blank_lines: u8,
    stage: Stage,
    /// The request being answered; whether the connection is kept is for the next answer to say.
    asked: RequestContext,
    /// Nothing will be received any more.
    at_eof: bool,
    /// The client said that this request is its last one.
    is_last_asked: bool,
    /// The client may be waiting for `100 Continue`.
    continue_due: bool,
    /// 101 may be answered.
    upgrade_wanted: bool,
}

impl Connection {
    /// A connection on which nothing has been received.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: ReceiveBuffer::default(),
            body: BodyDecoder::Done,
            answer: Answer::Over,
            body_allowance: 0,
            head_scanned: 0,
            blank_lines: 0,
            stage: Stage::Idle,
            asked: RequestContext { head: false, old: false, keep_alive: true },
            at_eof: false,
            is_last_asked: false,
            continue_due: false,
            upgrade_wanted: false,
        }
    }

    /// Takes what was read from the peer. Copied once, into memory of exactly its size if
    /// nothing is left from before.
    pub fn receive(&mut self, data: &[u8]) {
        if matches!(self.stage, Stage::Idle | Stage::Active | Stage::Upgraded) {
            self.buffer.append(data);
        }
    }

    /// What [`receive`](Self::receive) does, with memory that is handed over: a large body goes on
    /// to who reads it in the same memory, uncopied. Memory is copied all the same where less than
    /// half of its capacity is used, or something is left from before.
    pub fn receive_owned(&mut self, data: Vec<u8>) {
        if matches!(self.stage, Stage::Idle | Stage::Active | Stage::Upgraded) {
            self.buffer.append_owned(data);
        }
    }

    /// Takes notice that the peer sends no more. What was received before is still decoded.
    pub const fn receive_eof(&mut self) {
        self.at_eof = true;
    }

    /// What comes next of what was received.
    pub fn next_event(&mut self, limits: &Limits) -> Event {
        let mut head = RequestHead::empty();
        let event = self.next_event_into(&mut head, limits);
        event.map_head(|()| head)
    }

    /// What [`next_event`](Self::next_event) says, with the head of a request where it is to be.
    /// The memory of the head that was there before is used again, so one after another costs no
    /// allocation. Between two requests `head` means nothing, unless and until the event is
    /// [`Request`](Event::Request); it is not touched while that is read and answered.
    // Inlined, with the search for a head, into the one place of the server that needs both.
    #[inline(always)]
    pub fn next_event_into(&mut self, head: &mut RequestHead, limits: &Limits) -> Event<()> {
        if self.stage != Stage::Idle {
            return self.next_body_event(limits);
        }
        match self.next_head(head, limits) {
            Ok(Next::Head) => {
                self.begin(head, limits);
                Event::Request(())
            }
            Ok(Next::NeedData) => Event::NeedData,
            Ok(Next::End) => {
                self.close();
                Event::Closed
            }
            Err(error) => self.fail(error),
        }
    }

    /// What [`receive`](Self::receive) and then [`next_event_into`](Self::next_event_into) do. A
    /// head that `data` begins with, if it is all there, is read where it stands: of a request
    /// without a body nothing is kept here, and no memory is set aside for it.
    #[inline(always)]
    pub fn receive_into(
        &mut self,
        data: &[u8],
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Event<()> {
        let may_be_head = data.first().is_some_and(|first| *first != b'\r');
        if may_be_head && self.is_idle() {
            match decode_request(data, &mut self.head_scanned, limits, head) {
                Ok(Some(length)) => {
                    self.receive(&data[length..]);
                    self.begin(head, limits);
                    return Event::Request(());
                }
                Ok(None) => {}
                Err(error) => {
                    // What has been read of the head decides what the error response looks like.
                    self.receive(data);
                    return self.fail(error);
                }
            }
        }
        self.receive(data);
        self.next_event_into(head, limits)
    }

    /// The same where no request can come: while one is being read, or answered.
    pub(crate) fn next_body_event(&mut self, limits: &Limits) -> Event<()> {
        match self.stage {
            Stage::Active if !self.body.is_done() => {
                self.next_body_part(limits).unwrap_or_else(|error| self.fail(error))
            }
            _ => self.after_body(),
        }
    }

    fn after_body(&self) -> Event<()> {
        match self.stage {
            Stage::Idle | Stage::Active | Stage::Upgraded => Event::Paused,
            Stage::Failed | Stage::Closed => Event::Closed,
        }
    }

    #[inline(always)]
    fn next_head(
        &mut self,
        head: &mut RequestHead,
        limits: &Limits,
    ) -> Result<Next, ProtocolError> {
        let is_blank = self.skip_blank_lines()?;
        if !is_blank
            && let Some(length) =
                decode_request(&self.buffer, &mut self.head_scanned, limits, head)?
        {
            self.buffer.skip(length);
            return Ok(Next::Head);
        }
        match (self.at_eof, is_blank) {
            (false, _) => Ok(Next::NeedData),
            (true, true) => Ok(Next::End),
            (true, false) => Err(self.error_of_head(ProtocolError::UnexpectedEnd, limits)),
        }
    }

    /// Returns the error of a head that will not be completed because of `reason`. That is the
    /// error in what has been received of it, if there is one.
    #[cold]
    fn error_of_head(&self, reason: ProtocolError, limits: &Limits) -> ProtocolError {
        check_incomplete_request(&self.buffer, limits).err().unwrap_or(reason)
    }

    /// Returns `true` if nothing of a request is there.
    fn skip_blank_lines(&mut self) -> Result<bool, ProtocolError> {
        loop {
            match &*self.buffer {
                [] => return Ok(true),
                [b'\r'] if self.blank_lines < BLANK_LINES_MAX => return Ok(true),
                [b'\r', b'\n', ..] if self.blank_lines < BLANK_LINES_MAX => {
                    self.blank_lines += 1;
                    self.buffer.skip(2);
                }
                _ => return Ok(false),
            }
        }
    }

    fn begin(&mut self, head: &RequestHead, limits: &Limits) {
        self.stage = Stage::Active;
        self.blank_lines = 0;
        self.body = BodyDecoder::new(head.framing());
        self.answer = Answer::Due;
        self.body_allowance = limits.body_bytes_max;
        self.asked = RequestContext {
            head: *head.method() == Method::HEAD,
            old: head.version() == Version::HTTP_10,
            keep_alive: head.keep_alive() && self.asked.keep_alive,
        };
        self.is_last_asked = !head.keep_alive();
        self.continue_due = head.expects_continue();
        self.upgrade_wanted = head.wants_upgrade;
    }

    fn next_body_part(&mut self, limits: &Limits) -> Result<Event<()>, ProtocolError> {
        self.continue_due &= self.buffer.is_empty();
        let allowance = &mut self.body_allowance;
        match self.body.decode(&mut self.buffer, self.at_eof, allowance, limits)? {
            BodyPart::NeedData => Ok(Event::NeedData),
            BodyPart::Data(data) => Ok(Event::Body(data)),
            BodyPart::End(trailers) => {
                self.turn_over();
                Ok(Event::BodyEnd(trailers))
            }
        }
    }

    fn fail(&mut self, error: ProtocolError) -> Event<()> {
        if self.stage == Stage::Idle {
            self.answer = Answer::Due;
            // The response to `HEAD` has no body, also if something after the method is wrong.
            let head = self.buffer.starts_with(b"HEAD ");
            self.asked = RequestContext { head, old: false, keep_alive: false };
        }
        self.asked.keep_alive = false;
        self.continue_due = false;
        self.upgrade_wanted = false;
        self.stage = if self.answer == Answer::Over { Stage::Closed } else { Stage::Failed };
        self.buffer.clear();
        Event::Error(error)
    }

    /// Ends the request if its body and its answer are over.
    fn turn_over(&mut self) {
        let is_over = self.answer == Answer::Over;
        match self.stage {
            Stage::Active if !is_over || !self.body.is_done() => {}
            Stage::Active if self.asked.keep_alive => self.stage = Stage::Idle,
            Stage::Failed if !is_over => {}
            Stage::Active | Stage::Failed => self.close(),
            Stage::Idle | Stage::Upgraded | Stage::Closed => {}
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.buffer.clear();
    }
}

/// # What the driver wants to know
impl Connection {
    /// Returns `true` between two requests, with nothing of the next one received: the time for
    /// the keep-alive timeout, and to be closed when connections have to be shed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle && self.buffer.is_empty()
    }

    /// Returns `true` if `next_event` can only say [`NeedData`](Event::NeedData).
    pub(crate) fn needs_data(&self) -> bool {
        self.is_idle() && !self.at_eof
    }

    /// Returns `true` if a head has begun to arrive and is not complete: the time for the head
    /// timeout.
    #[must_use]
    pub fn is_reading_head(&self) -> bool {
        self.stage == Stage::Idle && !self.buffer.is_empty()
    }

    /// Returns `true` if the end of the current request's body has not been read.
    #[must_use]
    pub const fn is_reading_body(&self) -> bool {
        matches!(self.stage, Stage::Active) && !self.body.is_done()
    }

    /// How many bytes of the current request's body have not been handed out; `None` if it comes
    /// in chunks.
    #[must_use]
    pub const fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// Returns `true` if the current request, or the error, has no answer yet.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        self.answer == Answer::Due && self.stage != Stage::Closed
    }

    /// Returns `true` if an answer has been begun and is not complete.
    #[must_use]
    pub const fn is_answering(&self) -> bool {
        matches!(self.answer, Answer::Body(_))
    }

    /// Returns `true` if the answer that was begun has a body: not one to `HEAD`, and not one of
    /// a status that has none.
    #[must_use]
    pub const fn sends_body(&self) -> bool {
        !matches!(self.answer, Answer::Body(BodyEncoder::Dropped))
    }

    /// Returns `true` if only the end of the connection will tell the client that the answer that
    /// was begun is complete.
    #[must_use]
    pub const fn ends_body_by_closing(&self) -> bool {
        matches!(self.answer, Answer::Body(BodyEncoder::UntilClose))
    }

    /// Returns `true` if the connection goes on after the current answer, as far as is known.
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.asked.keep_alive && !matches!(self.stage, Stage::Closed)
    }

    /// Returns `true` if the client sends nothing after the current request: it said so, or has
    /// ended its side. A client of which this is not known may have another request under way when
    /// the connection ends, and that would reset it (RFC 9112 section 9.6).
    #[must_use]
    pub const fn is_last_request(&self) -> bool {
        self.is_last_asked || self.at_eof
    }

    /// How many bytes were received and not decoded.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns `true` if the client may be waiting for `100 Continue`: it asked for it, no part
    /// of the body has been received and no answer begun. To be asked when a handler wants the
    /// body and `next_event` said `NeedData`.
    #[must_use]
    pub fn needs_continue(&self) -> bool {
        self.continue_due && self.buffer.is_empty()
    }
}

/// # What the driver decides
impl Connection {
    /// Sets how long the current request's body may be, in bytes. To be called after the
    /// `Request` event and before the next; otherwise [`Limits::body_bytes_max`] holds.
    pub const fn set_body_limit(&mut self, bytes_max: u64) {
        self.body_allowance = bytes_max;
    }

    /// Whether the announced body is within its limit. `next_event` makes the same check when it
    /// is asked for the body; this is for those who would rather not begin at all.
    ///
    /// # Errors
    /// [`ProtocolError::BodyTooLarge`].
    pub fn check_body_limit(&self) -> Result<(), ProtocolError> {
        match self.body.remaining() {
            Some(length) if length > self.body_allowance => Err(ProtocolError::BodyTooLarge),
            _ => Ok(()),
        }
    }

    /// Ends the conversation because of `error`, which the caller found: a timeout. As after
    /// [`Event::Error`], nothing more is parsed, and what is still due is a response. Returns the
    /// error to respond with: if the head of a request is incomplete and also invalid, that is what
    /// is wrong with it, otherwise `error`.
    pub fn give_up(&mut self, error: ProtocolError, limits: &Limits) -> ProtocolError {
        let error = match self.is_reading_head() {
            true => self.error_of_head(error, limits),
            false => error,
        };
        if matches!(self.stage, Stage::Idle | Stage::Active) {
            self.fail(error);
        }
        error
    }

    /// Has the connection closed after the current answer, or the next one if there is none.
    pub const fn close_after_answer(&mut self) {
        self.asked.keep_alive = false;
    }
}

/// # Sending
impl Connection {
    /// Appends `100 Continue` if the client is waiting for it; returns `true` if so.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) -> bool {
        let is_due = self.needs_continue();
        if is_due {
            self.continue_due = false;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        is_due
    }

    /// Appends the head of the answer. What it says of the body's length and of the connection
    /// is decided here; see the crate's documentation for what `headers` may say of them.
    ///
    /// An informational status other than 101 is sent besides the answer, which is then still
    /// due; to a 1.0 client it is not sent at all (RFC 9110 section 15.2).
    ///
    /// A final answer while the client waits for `100 Continue` closes the connection, because
    /// nobody can tell whether the body will come (RFC 9110 section 10.1.1).
    ///
    /// # Errors
    /// [`EncodeError::OutOfTurn`] if there is nothing to answer or the answer has begun,
    /// [`EncodeError::Status`] for 101 if no upgrade was asked for, and
    /// [`EncodeError::TransferEncoding`] and [`EncodeError::ContentLength`] for what `headers`
    /// may not say. Nothing is appended then, and another answer may be sent.
    #[inline(always)]
    pub fn send_head(
        &mut self,
        status: StatusCode,
        headers: &Headers,
        length: BodyLength,
        date: &[u8; DATE_BYTES],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !self.can_answer() {
            return Err(EncodeError::OutOfTurn);
        }
        let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgrade && !self.upgrade_wanted {
            return Err(EncodeError::Status(status));
        }
        if status.is_informational() && !is_upgrade {
            if !self.asked.old {
                encode_response(status, headers, BodyLength::Empty, self.asked, date, out)?;
            }
            return Ok(());
        }
        let mut asked = self.asked;
        asked.keep_alive &= !self.needs_continue();
        let (body, keep_alive) = encode_response(status, headers, length, asked, date, out)?;
        self.asked.keep_alive = keep_alive;
        self.continue_due = false;
        self.answer = Answer::Body(body);
        if is_upgrade {
            self.stage = Stage::Upgraded;
        }
        Ok(())
    }

    /// Appends a whole answer, of which all of the body is there: what
    /// [`send_head`](Self::send_head), [`send_data`](Self::send_data) and
    /// [`send_end`](Self::send_end) do together.
    ///
    /// # Errors
    /// Those of [`send_head`](Self::send_head), and [`EncodeError::Status`] for an informational
    /// status, which ends no request. Nothing is appended then, and another answer may be sent.
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
        self.answer = Answer::Over;
        self.turn_over();
        Ok(())
    }

    /// Appends a part of the answer's body, framed as the head says. To `HEAD`, and with a
    /// status that has no body, nothing is appended. An empty part is no end.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooLong`] if it is more than the head announced, and
    /// [`EncodeError::OutOfTurn`] before the head and after the end. Nothing is appended then.
    pub fn send_data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.answer_body()?.data(data, out)
    }

    /// Appends what comes before `length` bytes of the body that the caller writes by itself,
    /// uncopied. Returns `true` if it has to write them and then call
    /// [`end_data`](Self::end_data), `false` if it must not: the answer has no body.
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data).
    pub fn begin_data(&mut self, length: usize, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        self.answer_body()?.begin_data(length, out)
    }

    /// Appends what comes after the bytes that [`begin_data`](Self::begin_data) announced.
    pub fn end_data(&self, out: &mut Vec<u8>) {
        if let Answer::Body(body) = &self.answer {
            body.end_data(out);
        }
    }

    /// Appends the end of the answer. Trailers are sent if the body comes in chunks, and left
    /// out otherwise.
    ///
    /// # Errors
    /// [`EncodeError::BodyTooShort`] if less was sent than announced: then the connection can
    /// only be closed, so that the client notices. [`EncodeError::Trailer`] for a trailer that
    /// may not be one, and [`EncodeError::OutOfTurn`] if no answer is in progress.
    pub fn send_end(
        &mut self,
        trailers: Option<&HeaderMap>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.answer_body()?.end(trailers, out)?;
        self.answer = Answer::Over;
        self.turn_over();
        Ok(())
    }

    /// Gives the connection up to another protocol after a 101: returns what the client has sent
    /// of it already. Nothing is parsed any more.
    pub fn upgrade(&mut self) -> BytesMut {
        let rest = self.buffer.take_all();
        self.answer = Answer::Over;
        self.close();
        rest
    }

    fn answer_body(&mut self) -> Result<&mut BodyEncoder, EncodeError> {
        match &mut self.answer {
            Answer::Body(body) => Ok(body),
            Answer::Due | Answer::Over => Err(EncodeError::OutOfTurn),
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}
