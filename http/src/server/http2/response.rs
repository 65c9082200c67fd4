//! Our responses as hyper sends them.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};

use crate::message::body::Body;
use crate::message::body_error::BodyError;
use crate::message::escaped::Escaped;
use crate::message::log_limit::limited_log;
use crate::message::observer::Observer;
use crate::message::part::Part;
use crate::message::response::Response;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::chunked::is_allowed_in_trailers;
use crate::protocol::error::EncodeError;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::parse_decimal;
use crate::server::connection::timing::SERVER_TIMING;
use crate::server::counters::Outcome;
use crate::server::http2::shared::{BodyFailure, Stream};

/// How much of a body is passed to hyper at once: a frame. With larger pieces a slow client that
/// takes some of one would look like one that takes nothing.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// The largest last piece of a part. hyper passes a piece on as soon as the client has room for a
/// byte of it, so this much of the end of a response can be left in a queue without anything that
/// would notice. The pieces before it are not: the next one waits for them.
const TAIL_BYTES_MAX: usize = 4 * 1024;

/// Headers that have no meaning in HTTP/2 (RFC 9113 section 8.2.2).
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Converts the response to a request, or a 500 if it cannot be sent.
pub(super) fn convert(
    mut response: Response,
    is_head: bool,
    stream: &Rc<Stream>,
    failure: Option<&BodyFailure>,
) -> http::Response<OutgoingBody> {
    let mut observers = Vec::new();
    while let Some(observer) = response.body.take_observer() {
        observers.push(observer);
    }
    if response.is_upgrade() {
        let peer = stream.connection().peer;
        tracing::debug!(target: "brigade::http", %peer, "refused an upgrade");
        response.refuse_upgrade();
    }
    let framing = match framing(&response, is_head) {
        Ok(framing) => framing,
        Err(error) => {
            stream.within(|| {
                limited_log!(error, { %error }, "replaced a response that cannot be sent by a 500");
            });
            response = Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "");
            Framing { length: Length::OfBody, sends_body: !is_head }
        }
    };
    if let Some(timing) = &*stream.timing.borrow() {
        response.headers.append(SERVER_TIMING, timing.header());
    }
    let Response { status, headers, body } = response;
    stream.outcome.set(Outcome::of(status));
    stream.span.borrow().record("http.response.status_code", status.as_u16());
    observers.iter_mut().for_each(|observer| observer.begin(status, 0));
    let mut map = to_map(headers);
    framing.set_length(&mut map, body.length());
    map.entry(DATE).or_insert_with(|| {
        let date = stream.context().date();
        HeaderValue::from_bytes(date.text()).expect("a date is printable")
    });
    let body = if framing.sends_body { body } else { Body::empty() };
    let body = OutgoingBody::new(body, observers, stream.clone(), failure.cloned());
    let mut converted = http::Response::new(body);
    *converted.status_mut() = status;
    *converted.headers_mut() = map;
    converted
}

/// How the length of a response is sent (RFC 9110 sections 8.6 and 15).
struct Framing {
    length: Length,
    sends_body: bool,
}

#[derive(Clone, Copy)]
enum Length {
    /// There is no `Content-Length`.
    Nothing,
    /// It is this.
    Declared(u64),
    /// It is that of the body, as far as that is known.
    OfBody,
}

fn framing(response: &Response, is_head: bool) -> Result<Framing, EncodeError> {
    let status = response.status;
    if status.is_informational() {
        return Err(EncodeError::Status(status));
    }
    if response.headers.contains(&TRANSFER_ENCODING) {
        return Err(EncodeError::TransferEncoding);
    }
    let mut declared = None;
    for (_, value) in response.headers.iter().filter(|(name, _)| *name == CONTENT_LENGTH) {
        let length = parse_decimal(value.as_bytes()).ok_or(EncodeError::ContentLength)?;
        if declared.replace(length).is_some_and(|other| other != length) {
            return Err(EncodeError::ContentLength);
        }
    }
    let of_headers = declared.map_or(Length::OfBody, Length::Declared);
    let (length, sends_body) = match status {
        StatusCode::NO_CONTENT => (Length::Nothing, false),
        StatusCode::NOT_MODIFIED => (declared.map_or(Length::Nothing, Length::Declared), false),
        StatusCode::RESET_CONTENT => (Length::Declared(0), false),
        _ if is_head => (of_headers, false),
        _ => match (response.body.length(), declared) {
            (BodyLength::Known(known), Some(declared)) if known != declared => {
                return Err(EncodeError::ContentLength);
            }
            (BodyLength::Empty, Some(1..)) => return Err(EncodeError::ContentLength),
            _ => (of_headers, true),
        },
    };
    Ok(Framing { length, sends_body })
}

impl Framing {
    fn set_length(&self, headers: &mut HeaderMap, of_body: BodyLength) {
        let length = match (self.length, of_body) {
            (Length::Nothing, _) | (Length::OfBody, BodyLength::Unknown) => {
                headers.remove(CONTENT_LENGTH);
                return;
            }
            (Length::Declared(length), _) | (Length::OfBody, BodyLength::Known(length)) => length,
            (Length::OfBody, BodyLength::Empty) => 0,
        };
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Returns the headers without what is about a connection of HTTP/1.1.
fn to_map(headers: Headers) -> HeaderMap {
    // Two are added: the length and the date.
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    let mut options = Vec::new();
    for (name, value) in headers {
        if name == CONNECTION {
            options.push(value);
        } else if ![TE, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION].contains(&name) {
            map.append(name, value);
        }
    }
    for options in options {
        let names = options.to_str().unwrap_or_default().split(',').map(str::trim);
        names.for_each(|name| _ = map.remove(name));
    }
    map
}

/// The body of a response, as hyper asks for it.
pub(super) struct OutgoingBody {
    body: Body,
    /// What is left of the current part.
    part: Bytes,
    observers: Vec<Observer>,
    stream: Rc<Stream>,
    /// The error of the client that ended the request's body.
    failure: Option<BodyFailure>,
}

impl OutgoingBody {
    fn new(
        body: Body,
        observers: Vec<Observer>,
        stream: Rc<Stream>,
        failure: Option<BodyFailure>,
    ) -> Self {
        let mut outgoing = Self { body, part: Bytes::new(), observers, stream, failure };
        if outgoing.body.is_end() {
            outgoing.complete();
        }
        outgoing
    }

    /// Reports that the whole response was passed on.
    fn complete(&mut self) {
        if !self.observers.is_empty() {
            let stream = self.stream.clone();
            stream.within(|| self.observers.drain(..).for_each(Observer::complete));
        }
    }

    /// Takes a piece of the current part.
    fn take_piece(&mut self) -> Bytes {
        let length = self.part.len();
        let before_tail = length.saturating_sub(TAIL_BYTES_MAX).min(PIECE_BYTES_MAX);
        let piece = match before_tail {
            0 => mem::take(&mut self.part),
            length => self.part.split_to(length),
        };
        self.observers.iter_mut().for_each(|observer| observer.count(piece.len() as u64));
        self.stream.sending.is_waiting.set(true);
        self.stream.sending.bytes.update(|bytes| bytes + piece.len() as u64);
        piece
    }

    fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), BodyError> {
        match trailers.keys().all(is_allowed_in_trailers) {
            true => Ok(()),
            false => Err(EncodeError::Trailer.into()),
        }
    }

    /// Logs the error that ends the body. hyper resets the stream.
    #[cold]
    fn fail(&self, error: BodyError) -> BodyError {
        let is_of_client = self.failure.as_ref().is_some_and(|failure| failure.get().is_some());
        let peer = self.stream.connection().peer;
        if !is_of_client {
            self.stream.context().counters.note_failed_body();
        }
        self.stream.within(|| {
            let error = Escaped(&error);
            match is_of_client {
                true => tracing::debug!(target: "brigade::http", %peer, %error, "body failed"),
                false => limited_log!(error, { %peer, %error }, "body failed"),
            }
        });
        error
    }
}

impl http_body::Body for OutgoingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.stream.sending.is_waiting.set(false);
        if !this.part.is_empty() {
            ready!(task::poll_proceed(cx));
            return Poll::Ready(Some(Ok(Frame::data(this.take_piece()))));
        }
        let stream = this.stream.clone();
        loop {
            let part = ready!(stream.within(|| this.body.poll_part(cx)));
            return Poll::Ready(match part {
                Some(Ok(Part::Data(data))) if data.is_empty() => continue,
                Some(Ok(Part::Data(data))) => {
                    this.part = data;
                    Some(Ok(Frame::data(this.take_piece())))
                }
                Some(Ok(Part::Trailers(trailers))) => match this.check_trailers(&trailers) {
                    Ok(()) => {
                        this.complete();
                        Some(Ok(Frame::trailers(trailers)))
                    }
                    Err(error) => Some(Err(this.fail(error))),
                },
                Some(Err(error)) => Some(Err(this.fail(error))),
                None => {
                    this.complete();
                    None
                }
            });
        }
    }

    /// Returns `false` while there are observers: hyper asks for more only when it has passed on
    /// the last part, which is when they learn of it.
    fn is_end_stream(&self) -> bool {
        self.part.is_empty() && self.observers.is_empty() && self.body.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let stream = self.stream.clone();
        // What the application made of it may log while it is dropped.
        stream.within(|| {
            drop(mem::take(&mut self.body));
            self.observers.drain(..).for_each(|observer| observer.abandon(0));
        });
    }
}
