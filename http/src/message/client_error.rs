//! The errors of the client, which handlers may return.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::message::body_error::{BodyError, BoxError};
use crate::message::escaped::Escaped;
use crate::message::parked::Ticket;
use crate::protocol::error::{EncodeError, ProtocolError};

/// Why a request got no response, or only a part of one. Displays the request and the
/// [`kind`](ClientError::kind) of the error.
///
/// A response with a status such as 404 or 500 is not an error, unless
/// [`error_for_status`](crate::ClientResponse::error_for_status) makes one of it.
///
/// A handler can return it: the response to it is a 504 after a [timeout](Self::is_timeout), and a
/// 502 otherwise. If the request's body came from a client that was too slow or sent too much, it
/// is that error's, such as 408 or 413. The cause is only logged.
///
/// # Examples
/// ```
/// use brigade_http::{Client, HandlerError, Router, get};
///
/// fn app() -> Router {
///     let client = Client::new();
///     let weather = async move || -> Result<String, HandlerError> {
///         let request = client.get("http://127.0.0.1:8081/weather");
///         Ok(request.send().await?.error_for_status()?.text().await?)
///     };
///     Router::new().route("/weather", get(weather))
/// }
/// ```
pub struct ClientError(Box<Inner>);

struct Inner {
    /// Method and URL.
    request: Box<str>,
    kind: ClientErrorKind,
    /// For the request itself, if nothing of it was sent.
    unsent: Option<Ticket>,
}

/// What went wrong with a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The URL cannot be requested, for this reason.
    Url(&'static str),
    /// The header of this name has characters in its name or value that are not allowed.
    Header(Box<str>),
    /// The value for the query or the body of the request cannot be serialized.
    Serialize(BoxError),
    /// The request cannot be sent, for example because its body is shorter than was announced.
    Encode(EncodeError),
    /// Connecting failed.
    Connect(io::Error),
    /// A timeout of this length has passed.
    Timeout(TimeoutKind, Duration),
    /// The server takes the request, or sends the body of the response, at a rate below this many
    /// bytes a second, which is the minimum.
    TooSlow(u32),
    /// There is one redirect more than this maximum.
    TooManyRedirects(u32),
    /// A redirect cannot be followed.
    Redirect {
        /// The `Location` of the response.
        location: Box<str>,
        /// What stands in the way.
        reason: &'static str,
    },
    /// The connection failed.
    Broken(io::Error),
    /// The server closed the connection without a response.
    NoResponse,
    /// The server broke the protocol or a limit.
    Protocol(ProtocolError),
    /// The server broke the protocol of HTTP/2, which is an error with this code (RFC 9113 section
    /// 7). A head that is more than twice as large as the limit is a `PROTOCOL_ERROR`, too.
    Http2(u32),
    /// The server reset the request's stream, over HTTP/2, with this code (RFC 9113 section 7).
    Reset(u32),
    /// The body of the response has more than this many bytes, which is the limit.
    TooLarge(u64),
    /// The body of the response cannot be decompressed: it is not what its `Content-Encoding` says,
    /// or ends too early.
    Coding(io::Error),
    /// The body of the response is not UTF-8.
    NotText,
    /// The body of the response cannot be deserialized.
    Content(BoxError),
    /// The response has this status, which is 400 or more. Only
    /// [`ClientResponse::error_for_status`](crate::ClientResponse::error_for_status) returns it.
    Status(StatusCode),
    /// The body of the request, a stream, failed.
    RequestBody(BoxError),
}

/// The operation that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// Looking up the name and connecting, or waiting for a stream of HTTP/2.
    Connect,
    /// Sending more of the request.
    Write,
    /// Receiving the head of the response, counted from the end of the request.
    Head,
    /// Receiving more of the response's body.
    Body,
    /// The whole request, from the call of `send` to the end of the response's body.
    Total,
}

impl ClientError {
    pub(crate) fn new(request: &str, kind: ClientErrorKind) -> Self {
        Self(Box::new(Inner { request: request.into(), kind, unsent: None }))
    }

    /// Adds the request, of which nothing was sent.
    pub(crate) fn with_unsent(mut self, request: Ticket) -> Self {
        self.0.unsent = Some(request);
        self
    }

    pub(crate) fn take_unsent(&mut self) -> Option<Ticket> {
        self.0.unsent.take()
    }

    /// Returns what went wrong.
    #[must_use]
    pub fn kind(&self) -> &ClientErrorKind {
        &self.0.kind
    }

    /// Returns the URL of the request; after a redirect, of the one that failed. It has no user
    /// name, password or fragment.
    #[must_use]
    pub fn url(&self) -> &str {
        url_of(&self.0.request)
    }

    /// Returns the status of the response, if that is the [error](ClientErrorKind::Status).
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self.0.kind {
            ClientErrorKind::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Returns `true` if a timeout has passed, or the server was too slow.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ClientErrorKind::Timeout(..) | ClientErrorKind::TooSlow(_))
    }

    /// Returns `true` if connecting failed, so the server has received nothing of the request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        use ClientErrorKind::{Connect, Timeout};
        matches!(self.0.kind, Connect(_) | Timeout(TimeoutKind::Connect, _))
    }
}

impl ClientError {
    /// Returns the error of the client that a handler passes a body on from, if that failed.
    pub(crate) fn of_the_upload(&self) -> Option<&BodyError> {
        let ClientErrorKind::RequestBody(error) = &self.0.kind else { return None };
        let error: &BodyError = error.downcast_ref()?;
        (!error.status().is_server_error()).then_some(error)
    }

    /// Returns the status of the response of a handler that could not get one (RFC 9110 sections
    /// 15.6.3 and 15.6.5).
    pub(crate) fn gateway_status(&self) -> StatusCode {
        match self.is_timeout() {
            true => StatusCode::GATEWAY_TIMEOUT,
            false => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Returns the URL in a label, which consists of a method and a URL.
pub(crate) fn url_of(label: &str) -> &str {
    label.split_once(' ').map_or(label, |(_, url)| url)
}

impl fmt::Display for ClientErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(reason) => f.write_str(reason),
            Self::Header(name) => {
                write!(f, "the header '{name}' has a name or a value that cannot be sent")
            }
            Self::Serialize(error) => write!(f, "the value cannot be serialized: {error}"),
            Self::Encode(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Connect(error) => write!(f, "connecting failed: {error}"),
            Self::Timeout(waited, limit) => {
                let (what, option) = waited.texts();
                write!(f, "{what} took longer than {limit:?}; raise the limit with `{option}`")
            }
            Self::TooSlow(rate) => write!(
                f,
                "the server takes or sends fewer than {rate} bytes a second; lower the minimum \
                 with `body_rate`"
            ),
            Self::TooManyRedirects(limit) => {
                write!(f, "there are more than {limit} redirects; raise the limit with `redirects`")
            }
            Self::Redirect { location, reason } => {
                write!(f, "cannot follow the redirect to '{}': {reason}", Escaped(location))
            }
            Self::Broken(error) => write!(f, "the connection failed: {error}"),
            Self::NoResponse => f.write_str(
                "the server closed the connection without a response; it may have acted on the \
                 request",
            ),
            Self::Protocol(error) => write!(f, "the response is malformed: {error}"),
            Self::Http2(code) => {
                write!(f, "the response breaks the rules of HTTP/2: {}", http2_code(*code))
            }
            Self::Reset(code) => {
                write!(f, "the server has reset the request: {}", http2_code(*code))
            }
            Self::TooLarge(limit) => write!(
                f,
                "the body of the response has more than {limit} bytes; raise the limit, or read \
                 the body part by part"
            ),
            Self::Coding(error) => {
                write!(f, "the body of the response is not what its Content-Encoding says: {error}")
            }
            Self::NotText => {
                f.write_str("the body of the response is not UTF-8; read it with `bytes`")
            }
            Self::Content(error) => {
                write!(f, "cannot read the body of the response: {}", Escaped(error))
            }
            Self::Status(status) => write!(f, "the status of the response is {status}"),
            Self::RequestBody(error) => write!(f, "the body of the request failed: {error}"),
        }
    }
}

/// Returns the name of an error of HTTP/2 (RFC 9113 section 7).
pub(crate) const fn http2_code(code: u32) -> &'static str {
    match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => "an unknown error",
    }
}

impl TimeoutKind {
    /// Returns a description of the operation, and the option that sets the timeout.
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Connect => ("connecting", "connect_timeout"),
            Self::Write => ("sending more of the request", "write_timeout"),
            Self::Head => ("receiving the head of the response", "head_timeout"),
            Self::Body => ("receiving more of the response's body", "body_gap_timeout"),
            Self::Total => ("the whole request", "timeout"),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.request, self.0.kind)
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("request", &self.0.request)
            .field("kind", &self.0.kind)
            .finish()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.kind {
            ClientErrorKind::Encode(error) => Some(error),
            ClientErrorKind::Connect(error)
            | ClientErrorKind::Broken(error)
            | ClientErrorKind::Coding(error) => Some(error),
            ClientErrorKind::Protocol(error) => Some(error),
            ClientErrorKind::Serialize(error)
            | ClientErrorKind::Content(error)
            | ClientErrorKind::RequestBody(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match error.kind() {
            ClientErrorKind::Connect(error) | ClientErrorKind::Broken(error) => error.kind(),
            ClientErrorKind::Timeout(..) | ClientErrorKind::TooSlow(_) => io::ErrorKind::TimedOut,
            ClientErrorKind::NoResponse => io::ErrorKind::UnexpectedEof,
            ClientErrorKind::Reset(_) => io::ErrorKind::ConnectionReset,
            ClientErrorKind::Url(_)
            | ClientErrorKind::Header(_)
            | ClientErrorKind::Serialize(_) => io::ErrorKind::InvalidInput,
            ClientErrorKind::Status(_) => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
