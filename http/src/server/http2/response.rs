//! Our responses as h2 sends them.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::message::body::Body;
use crate::message::log_limit::limited_log;
use crate::message::observer::Observer;
use crate::message::response::Response;
use crate::protocol::body_encoder::BodyLength;
use crate::protocol::error::EncodeError;
use crate::protocol::headers::Headers;
use crate::protocol::syntax::parse_decimal;
use crate::server::connection::timing::SERVER_TIMING;
use crate::server::counters::Outcome;
use crate::server::http2::shared::Stream;

/// Headers that have no meaning in HTTP/2 (RFC 9113 section 8.2.2).
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A response that can be sent.
pub(super) struct Converted {
    pub(super) head: http::Response<()>,
    /// Empty if the response is sent without a body.
    pub(super) body: Body,
    /// The observers of the response.
    pub(super) observers: Vec<Observer>,
}

/// Converts the response to a request, or a 500 if it cannot be sent.
pub(super) fn convert(mut response: Response, is_head: bool, stream: &mut Stream) -> Converted {
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
    if let Some(timing) = &stream.timing {
        response.headers.append(SERVER_TIMING, timing.header());
    }
    let Response { status, headers, body } = response;
    stream.outcome = Outcome::of(status);
    stream.span.record("http.response.status_code", status.as_u16());
    observers.iter_mut().for_each(|observer| observer.begin(status, 0));
    let mut map = to_map(headers);
    framing.set_length(&mut map, body.length());
    map.entry(DATE).or_insert_with(|| stream.context().date().header());
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = map;
    let body = if framing.sends_body { body } else { Body::empty() };
    Converted { head, body, observers }
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
        headers.insert(CONTENT_LENGTH, decimal(length));
    }
}

/// Returns a number as the value of a header, with one allocation where `From` makes two.
fn decimal(number: u64) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    HeaderValue::from_str(digits.format(number)).expect("digits are printable")
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
